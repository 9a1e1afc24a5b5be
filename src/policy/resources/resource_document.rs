//! Compiles custom resources without a cluster, for the commands that test and compare policies.

use super::compile::compile;
use crate::document::{Fault, prune};
use crate::model::policy_resource::ResourceKey;
use crate::policy::bounds::Bounds;
use crate::policy::compiled_policy::Policy;
use crate::policy::manifest::resource_namespace;
use crate::wire::policy::{PolicyManifest, PolicySpec};
use serde_json::Value;

impl Policy {
    /// Compiles a manifest. If [`resource_namespace`] finds a namespace, it is compiled as a custom resource of that namespace that
    /// belongs to no particular cluster, otherwise as a policy of a file.
    ///
    /// # Errors
    /// All faults with their JSON pointers.
    pub fn from_resource_document(tree: Value, bounds: &Bounds) -> Result<Self, Vec<Fault>> {
        let manifest = prune::<PolicyManifest>(&mut tree.clone()).0.unwrap_or_default();
        let name = manifest.metadata.as_ref().and_then(|metadata| metadata.name.as_deref());
        let (Some(namespace), Some(name)) = (resource_namespace(&manifest), name) else {
            return Self::from_document(tree, bounds);
        };
        let key = ResourceKey { namespace: Some(namespace.into()), name: name.into() };
        compile(&key, None, tree.get("spec").cloned().unwrap_or_default(), &bounds.for_namespace(namespace))
    }

    /// Compiles a namespaced custom resource that belongs to no particular cluster.
    ///
    /// # Errors
    /// All faults with their JSON pointers.
    pub fn compile_resource(
        namespace: &str,
        name: &str,
        spec: &PolicySpec,
        bounds: &Bounds,
    ) -> Result<Self, Vec<Fault>> {
        let key = ResourceKey { namespace: Some(namespace.into()), name: name.into() };
        let spec = serde_json::to_value(spec).map_err(|_| vec![Fault::new("/spec", "cannot be written as JSON")])?;
        compile(&key, None, spec, &bounds.for_namespace(namespace))
    }

    /// Compiles a policy that the API of a server lists. A name with a slash is that of a namespaced custom resource.
    ///
    /// # Errors
    /// All faults with their JSON pointers.
    pub fn compile_listed(name: &str, spec: &PolicySpec, bounds: &Bounds) -> Result<Self, Vec<Fault>> {
        match name.split_once('/') {
            Some((namespace, name)) => Self::compile_resource(namespace, name, spec, bounds),
            None => Self::compile_stored(name, spec, bounds),
        }
    }
}
