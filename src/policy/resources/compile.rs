//! Compiles a custom resource. A namespaced `Policy` applies only to callers of its namespace.

use crate::document::{Fault, prune};
use crate::model::policy_resource::{MAX_SPEC_BYTES, ResourceKey};
use crate::policy::bounds::Bounds;
use crate::policy::compile::{SpecOrigin, compile_spec};
use crate::policy::compiled_policy::Policy;
use crate::policy::manifest::add_compile_faults;
use crate::policy::subject::Subject;
use crate::wire::policy::PolicySpec;
use serde_json::Value;
use std::sync::Arc;

/// Compiles the spec of an object. A namespaced policy matches only callers of `cluster`, or of any cluster if that is `None`; a
/// `ClusterPolicy` matches callers of any cluster. The bounds must have the ceiling of the object's namespace.
///
/// # Errors
/// All faults with their JSON pointers, at or below `/spec`.
pub fn compile(
    key: &ResourceKey,
    cluster: Option<&Arc<str>>,
    mut spec: Value,
    bounds: &Bounds,
) -> Result<Policy, Vec<Fault>> {
    if spec.is_null() {
        return Err(vec![Fault::new("/spec", "is missing")]);
    }
    if serde_json::to_vec(&spec).map_or(true, |text| text.len() > MAX_SPEC_BYTES) {
        return Err(too_large_faults());
    }
    let (decoded, decode_faults) = prune::<PolicySpec>(&mut spec);
    let mut faults: Vec<Fault> =
        decode_faults.into_iter().map(|fault| Fault::new(format!("/spec{}", fault.pointer), fault.detail)).collect();
    let spec = decoded.unwrap_or_default();
    let mut compile_faults = Vec::new();
    let policy = match &key.namespace {
        None => compile_spec(&key.name, &spec, bounds, SpecOrigin::New, &mut compile_faults),
        Some(namespace) => compile_namespaced(&key.to_string(), namespace, cluster, &spec, bounds, &mut compile_faults),
    };
    add_compile_faults(&mut faults, compile_faults);
    policy.filter(|_| faults.is_empty()).ok_or(faults)
}

/// The fault of a spec that is too large.
pub fn too_large_faults() -> Vec<Fault> {
    vec![Fault::new("/spec", "must have at most 65536 bytes")]
}

fn compile_namespaced(
    name: &str,
    namespace: &str,
    cluster: Option<&Arc<str>>,
    spec: &PolicySpec,
    bounds: &Bounds,
    faults: &mut Vec<Fault>,
) -> Option<Policy> {
    let mut namespaced = spec.clone();
    for (index, subject) in namespaced.subjects.iter_mut().enumerate() {
        let Some(subject) = subject else { continue };
        if subject.oidc.is_some() {
            let detail =
                "a namespaced policy applies only to pods of its namespace: write a ClusterPolicy for this subject";
            faults.push(Fault::new(format!("/spec/subjects/{index}/oidc"), detail));
        }
        let Some(kubernetes) = &mut subject.kubernetes else { continue };
        if !kubernetes.namespaces.is_empty() {
            let detail = "must be left out: the namespace of the policy applies";
            faults.push(Fault::new(format!("/spec/subjects/{index}/kubernetes/namespaces"), detail));
        }
        // The name of a namespace has no wildcard, so as a pattern it matches only itself.
        kubernetes.namespaces = vec![Some(namespace.to_owned())];
    }
    let mut policy = compile_spec(name, &namespaced, bounds, SpecOrigin::New, faults)?;
    for subject in &mut policy.subjects {
        if let Subject::Kubernetes { cluster: subject_cluster, .. } = subject {
            *subject_cluster = cluster.cloned();
        }
    }
    // The API shows the spec as its author wrote it.
    policy.spec = Arc::new(spec.clone());
    Some(policy)
}
