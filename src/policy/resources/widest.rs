//! A deny policy that does not compile, read as widely as it can be meant: a deny fails closed.
//!
//! It denies where no valid version of it is known. Otherwise a replica that starts would serve what the others refuse.

use super::compile::compile;
use crate::document::Fault;
use crate::model::policy_resource::ResourceKey;
use crate::policy::bounds::{AuthenticatorKind, Bounds};
use crate::policy::manifest::is_within;
use crate::policy::matching::Policy;
use crate::policy::subject::Subject;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The parts of a spec that say when it denies.
const PARTS: [&str; 5] = ["subjects", "repos", "branches", "attest", "condition"];

/// The policy that these parts make: one with a fault counts as matching everything. A policy of a namespace stays within it.
pub fn widest_deny(
    key: &ResourceKey,
    cluster: &Arc<str>,
    spec: Option<&Value>,
    faults: &[Fault],
    bounds: &Bounds,
) -> Option<Policy> {
    // An object without a spec does not say that it denies.
    if spec.is_some_and(Value::is_null) {
        return None;
    }
    let mut good = PARTS.to_vec();
    good.retain(|part| {
        let pointer = format!("/spec/{part}");
        let speaks_of = |fault: &Fault| is_within(&fault.pointer, &pointer) || is_within(&pointer, &fault.pointer);
        !faults.iter().any(speaks_of)
    });
    of_parts(key, cluster, spec, &good, bounds).or_else(|| of_parts(key, cluster, None, &[], bounds))
}

fn of_parts(
    key: &ResourceKey,
    cluster: &Arc<str>,
    spec: Option<&Value>,
    good: &[&str],
    bounds: &Bounds,
) -> Option<Policy> {
    let everything = || json!(["**"]);
    let mut wide = Map::new();
    wide.insert("effect".to_owned(), "deny".into());
    for part in good {
        if let Some(value) = spec.and_then(|spec| spec.get(*part)) {
            wide.insert((*part).to_owned(), value.clone());
        }
    }
    let attests = spec.is_none_or(|spec| spec.get("attest").is_some());
    if attests && !good.contains(&"attest") {
        // What the caller builds may be something else than what it says.
        wide.insert("repos".to_owned(), everything());
        wide.insert("branches".to_owned(), everything());
    }
    for part in ["repos", "branches"] {
        wide.entry(part).or_insert_with(everything);
    }
    let names_subjects = wide.contains_key("subjects");
    wide.entry("subjects").or_insert_with(|| {
        let mut pods = json!({"serviceAccounts": ["**"]});
        if key.namespace.is_none() {
            pods["namespaces"] = everything();
        }
        json!([{"kubernetes": pods}])
    });
    let mut policy = compile(key, Some(cluster), Value::Object(wide), bounds).ok()?;
    if !names_subjects && key.namespace.is_none() {
        let issuers = bounds.authenticators.iter().filter(|(_, kind)| **kind == AuthenticatorKind::Oidc);
        let all_of = |issuer: &Arc<str>| Subject::Oidc { issuer: issuer.clone(), claims: Box::default() };
        policy.subjects = policy.subjects.into_iter().chain(issuers.map(|(name, _)| all_of(name))).collect();
    }
    Some(policy)
}
