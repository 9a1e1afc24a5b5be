//! Compiles a manifest: the spec with `apiVersion`, `kind` and `metadata`.

use super::bounds::Bounds;
use super::compile::{SpecOrigin, check_name, compile_spec};
use super::compiled_policy::Policy;
use crate::document::{Fault, prune};
use crate::wire::policy::PolicyManifest;
use serde_json::Value;

pub(super) const API_VERSION: &str = "claviger.dev/v1alpha1";
pub(super) const KIND: &str = "Policy";
/// The kind of cluster-scoped custom resources. In files and request bodies both kinds mean the same.
const CLUSTER_KIND: &str = "ClusterPolicy";

impl Policy {
    /// Compiles a manifest.
    ///
    /// # Errors
    /// All faults with their JSON pointers.
    pub fn from_manifest(manifest: &PolicyManifest, bounds: &Bounds) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        check_value(manifest.api_version.as_deref(), API_VERSION, "/apiVersion", &mut faults);
        if !matches!(manifest.kind.as_deref(), Some(KIND | CLUSTER_KIND)) {
            faults.push(Fault::new("/kind", "must be Policy or ClusterPolicy"));
        }
        let name = manifest.metadata.as_ref().and_then(|metadata| metadata.name.as_deref());
        match name {
            Some(name) => check_name(name, "/metadata/name", &mut faults),
            None => faults.push(Fault::new("/metadata/name", "is missing")),
        }
        let spec = manifest.spec.as_ref();
        if spec.is_none() {
            faults.push(Fault::new("/spec", "is missing"));
        }
        let policy =
            spec.and_then(|spec| compile_spec(name.unwrap_or_default(), spec, bounds, SpecOrigin::New, &mut faults));
        policy.filter(|_| faults.is_empty()).ok_or(faults)
    }

    /// Compiles one document of a file or a request body. Decoding faults and other faults are reported together.
    ///
    /// # Errors
    /// All faults with their JSON pointers.
    pub fn from_document(mut tree: Value, bounds: &Bounds) -> Result<Self, Vec<Fault>> {
        let (manifest, mut faults) = prune::<PolicyManifest>(&mut tree);
        match manifest.map(|manifest| Self::from_manifest(&manifest, bounds)) {
            Some(Ok(policy)) if faults.is_empty() => return Ok(policy),
            Some(Err(compile_faults)) => add_compile_faults(&mut faults, compile_faults),
            Some(Ok(_)) | None => {}
        }
        Err(faults)
    }
}

/// The namespace of a manifest that can only be a namespaced custom resource, because it has a namespace and its subjects have
/// none. `None` for other manifests.
#[must_use]
pub fn resource_namespace(manifest: &PolicyManifest) -> Option<&str> {
    let namespace = manifest.metadata.as_ref()?.namespace.as_ref()?.as_str()?;
    let kubernetes_subjects = || {
        let subjects = manifest.spec.iter().flat_map(|spec| &spec.subjects).flatten();
        subjects.filter_map(|subject| subject.kubernetes.as_ref())
    };
    let is_resource = manifest.kind.as_deref() == Some(KIND)
        && kubernetes_subjects().next().is_some()
        && kubernetes_subjects().all(|subject| subject.namespaces.is_empty());
    is_resource.then_some(namespace)
}

fn check_value(given: Option<&str>, wanted: &str, pointer: &str, faults: &mut Vec<Fault>) {
    if given != Some(wanted) {
        faults.push(Fault::new(pointer, format!("must be {wanted}")));
    }
}

/// Adds the faults of the compiler to those of the decoder. A field that could not be decoded looks missing to the compiler; this
/// second fault is left out, because the list already has that of the decoder.
pub(super) fn add_compile_faults(faults: &mut Vec<Fault>, compile_faults: Vec<Fault>) {
    let decode_faults = faults.len();
    for fault in compile_faults {
        if !faults[..decode_faults].iter().any(|known| is_pointer_within(&fault.pointer, &known.pointer)) {
            faults.push(fault);
        }
    }
}

/// Whether a JSON pointer is equal to `outer` or points into the value at `outer`.
pub(super) fn is_pointer_within(pointer: &str, outer: &str) -> bool {
    pointer.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
