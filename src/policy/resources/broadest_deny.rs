//! The broadest deny policy that an invalid spec can mean: each field with a fault matches everything.
//!
//! It is active if no valid version of the policy is known. Without it, a replica that starts would allow requests that replicas
//! with a valid version deny.

use super::compile::compile;
use crate::document::Fault;
use crate::model::policy_resource::ResourceKey;
use crate::policy::bounds::{AuthenticatorKind, Bounds};
use crate::policy::compiled_policy::Policy;
use crate::policy::manifest::is_pointer_within;
use crate::policy::subject::Subject;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The fields of a spec that determine which requests it denies.
const MATCHING_FIELDS: [&str; 5] = ["subjects", "repos", "branches", "attest", "condition"];

/// Compiles the broadest deny policy of a spec. `spec` is `None` if it was too large to keep. A namespaced policy still denies only
/// callers of its namespace. Returns `None` if the spec is null: an object without a spec does not say that it denies.
pub fn compile_broadest_deny(
    key: &ResourceKey,
    cluster: &Arc<str>,
    spec: Option<&Value>,
    faults: &[Fault],
    bounds: &Bounds,
) -> Option<Policy> {
    if spec.is_some_and(Value::is_null) {
        return None;
    }
    let mut valid_fields = MATCHING_FIELDS.to_vec();
    valid_fields.retain(|field| {
        let pointer = format!("/spec/{field}");
        let concerns_field =
            |fault: &Fault| is_pointer_within(&fault.pointer, &pointer) || is_pointer_within(&pointer, &fault.pointer);
        !faults.iter().any(concerns_field)
    });
    compile_fields(key, cluster, spec, &valid_fields, bounds)
        .or_else(|| compile_fields(key, cluster, None, &[], bounds))
}

/// Compiles a deny policy with these fields of the spec; all other fields match everything.
fn compile_fields(
    key: &ResourceKey,
    cluster: &Arc<str>,
    spec: Option<&Value>,
    fields: &[&str],
    bounds: &Bounds,
) -> Option<Policy> {
    let everything = || json!(["**"]);
    let mut deny_spec = Map::new();
    deny_spec.insert("effect".to_owned(), "deny".into());
    for field in fields {
        if let Some(value) = spec.and_then(|spec| spec.get(*field)) {
            deny_spec.insert((*field).to_owned(), value.clone());
        }
    }
    let attests = spec.is_none_or(|spec| spec.get("attest").is_some());
    if attests && !fields.contains(&"attest") {
        // The attested repo and branch, which are unknown, may differ from those of the request.
        deny_spec.insert("repos".to_owned(), everything());
        deny_spec.insert("branches".to_owned(), everything());
    }
    for field in ["repos", "branches"] {
        deny_spec.entry(field).or_insert_with(everything);
    }
    let has_subjects = deny_spec.contains_key("subjects");
    deny_spec.entry("subjects").or_insert_with(|| {
        let mut kubernetes = json!({"serviceAccounts": ["**"]});
        if key.namespace.is_none() {
            kubernetes["namespaces"] = everything();
        }
        json!([{"kubernetes": kubernetes}])
    });
    let mut policy = compile(key, Some(cluster), Value::Object(deny_spec), bounds).ok()?;
    if !has_subjects && key.namespace.is_none() {
        let issuers = bounds.authenticators.iter().filter(|(_, kind)| **kind == AuthenticatorKind::Oidc);
        let all_callers = |issuer: &Arc<str>| Subject::Oidc { issuer: issuer.clone(), claims: Box::default() };
        policy.subjects = policy.subjects.into_iter().chain(issuers.map(|(name, _)| all_callers(name))).collect();
    }
    Some(policy)
}
