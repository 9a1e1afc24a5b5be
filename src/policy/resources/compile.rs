//! An object becomes a policy. The policy of a namespace speaks of that namespace alone.

use crate::document::{Fault, prune};
use crate::model::policy_resource::{MAX_SPEC_BYTES, ResourceKey};
use crate::policy::bounds::Bounds;
use crate::policy::compile::{Origin, compile_spec};
use crate::policy::manifest::is_within;
use crate::policy::matching::Policy;
use crate::policy::subject::Subject;
use crate::wire::policy::PolicySpec;
use serde_json::Value;
use std::sync::Arc;

/// Compiles the spec of an object of this cluster. `bounds` have the ceiling that holds for it.
///
/// # Errors
/// Every fault with its place, below `/spec`.
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
        return Err(too_large());
    }
    let (decoded, misread) = prune::<PolicySpec>(&mut spec);
    let mut faults: Vec<Fault> =
        misread.into_iter().map(|fault| Fault::new(format!("/spec{}", fault.pointer), fault.detail)).collect();
    let told = faults.len();
    let spec = decoded.unwrap_or_default();
    let mut found = Vec::new();
    let policy = match &key.namespace {
        None => compile_spec(&key.name, &spec, bounds, Origin::New, &mut found),
        Some(namespace) => of_namespace(&key.to_string(), namespace, cluster, &spec, bounds, &mut found),
    };
    // What could not be decoded now looks as if it were missing; it has been told already.
    for fault in found {
        if !faults[..told].iter().any(|known| is_within(&fault.pointer, &known.pointer)) {
            faults.push(fault);
        }
    }
    policy.filter(|_| faults.is_empty()).ok_or(faults)
}

/// The fault of a spec that is too large.
pub fn too_large() -> Vec<Fault> {
    vec![Fault::new("/spec", "must have at most 65536 bytes")]
}

fn of_namespace(
    name: &str,
    namespace: &str,
    cluster: Option<&Arc<str>>,
    spec: &PolicySpec,
    bounds: &Bounds,
    faults: &mut Vec<Fault>,
) -> Option<Policy> {
    let mut whole = spec.clone();
    for (index, subject) in whole.subjects.iter_mut().enumerate() {
        let Some(subject) = subject else { continue };
        if subject.oidc.is_some() {
            let detail =
                "the policy of a namespace speaks of its own pods only: write a ClusterPolicy for this subject";
            faults.push(Fault::new(format!("/spec/subjects/{index}/oidc"), detail));
        }
        let Some(pods) = &mut subject.kubernetes else { continue };
        if !pods.namespaces.is_empty() {
            let detail = "must be left out: the namespace of the policy is implied";
            faults.push(Fault::new(format!("/spec/subjects/{index}/kubernetes/namespaces"), detail));
        }
        // A namespace has no character that means something in a pattern.
        pods.namespaces = vec![Some(namespace.to_owned())];
    }
    let mut policy = compile_spec(name, &whole, bounds, Origin::New, faults)?;
    for subject in &mut policy.subjects {
        if let Subject::Kubernetes { cluster: only, .. } = subject {
            *only = cluster.cloned();
        }
    }
    // It is shown as it was written.
    policy.spec = Arc::new(spec.clone());
    Some(policy)
}
