//! Compiles custom resources without a cluster, for the commands that test and compare policies.

use super::compile::compile;
use crate::document::{Fault, prune};
use crate::model::policy_resource::ResourceKey;
use crate::policy::bounds::Bounds;
use crate::policy::compiled_policy::Policy;
use crate::policy::draft::is_policy_name;
use crate::policy::manifest::{add_compile_faults, resource_namespace};
use crate::wire::policy::{PolicyManifest, PolicySpec};
use serde_json::Value;

impl Policy {
    /// Compiles a manifest. If [`resource_namespace`] finds a namespace, it is compiled as a custom resource of that namespace that
    /// belongs to no particular cluster, otherwise as a policy of a file.
    ///
    /// # Errors
    /// All faults with their JSON pointers.
    pub fn from_resource_document(tree: Value, bounds: &Bounds) -> Result<Self, Vec<Fault>> {
        let (manifest, mut faults) = prune::<PolicyManifest>(&mut tree.clone());
        let manifest = manifest.unwrap_or_default();
        let Some(namespace) = resource_namespace(&manifest) else { return Self::from_document(tree, bounds) };
        if !is_policy_name(namespace) {
            faults.push(Fault::new("/metadata/namespace", "is not the name of a namespace"));
            return Err(faults);
        }
        let Some(name) = manifest.metadata.as_ref().and_then(|metadata| metadata.name.as_deref()) else {
            add_compile_faults(&mut faults, vec![Fault::new("/metadata/name", "is missing")]);
            return Err(faults);
        };
        let key = ResourceKey { namespace: Some(namespace.into()), name: name.into() };
        let spec = tree.get("spec").cloned().unwrap_or_default();
        match compile(&key, None, spec, &bounds.for_namespace(namespace)) {
            Ok(policy) if faults.is_empty() => return Ok(policy),
            Ok(_) => {}
            Err(compile_faults) => add_compile_faults(&mut faults, compile_faults),
        }
        Err(faults)
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
