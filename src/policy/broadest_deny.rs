//! The broadest deny policy that an invalid spec can mean: each field with a fault matches everything.
//!
//! It is active if no valid version of the policy is known. Without it, a replica that starts would allow requests that replicas
//! with a valid version deny.

use super::bounds::{AuthenticatorKind, Bounds};
use super::compiled_policy::Policy;
use super::manifest::is_pointer_within;
use super::subject::Subject;
use crate::document::Fault;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The fields of a spec that determine which requests it denies.
const MATCHING_FIELDS: [&str; 5] = ["subjects", "repos", "branches", "attest", "condition"];

/// An invalid spec of a policy that may deny.
pub(super) struct InvalidSpec<'a> {
    /// The spec; `None` if it cannot be read.
    pub(super) spec: Option<&'a Value>,
    /// Its faults, with pointers at or below `/spec`.
    pub(super) faults: &'a [Fault],
    /// Whether it is the spec of a namespaced custom resource. Then it denies only callers of its namespace.
    pub(super) is_namespaced: bool,
    /// The bounds of the policy.
    pub(super) bounds: &'a Bounds,
}

impl InvalidSpec<'_> {
    /// Compiles the broadest deny policy of the spec. `compile` compiles a spec with the name of this policy, and returns `None` if it
    /// has faults.
    pub(super) fn compile_broadest_deny(&self, compile: impl Fn(Value) -> Option<Policy>) -> Option<Policy> {
        let mut valid_fields = MATCHING_FIELDS.to_vec();
        valid_fields.retain(|field| {
            let pointer = format!("/spec/{field}");
            let concerns_field = |fault: &Fault| {
                is_pointer_within(&fault.pointer, &pointer) || is_pointer_within(&pointer, &fault.pointer)
            };
            !self.faults.iter().any(concerns_field)
        });
        self.compile_fields(self.spec, &valid_fields, &compile).or_else(|| self.compile_fields(None, &[], &compile))
    }

    /// Compiles a deny policy with these fields of the spec; all other fields match everything.
    fn compile_fields(
        &self,
        spec: Option<&Value>,
        fields: &[&str],
        compile: impl Fn(Value) -> Option<Policy>,
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
            if !self.is_namespaced {
                kubernetes["namespaces"] = everything();
            }
            json!([{"kubernetes": kubernetes}])
        });
        let mut policy = compile(Value::Object(deny_spec))?;
        if !has_subjects && !self.is_namespaced {
            let authenticators = &self.bounds.authenticators;
            let issuers = authenticators.iter().filter(|(_, kind)| **kind == AuthenticatorKind::Oidc);
            let all_callers = |issuer: &Arc<str>| Subject::Oidc { issuer: issuer.clone(), claims: Box::default() };
            policy.subjects = policy.subjects.into_iter().chain(issuers.map(|(name, _)| all_callers(name))).collect();
        }
        Some(policy)
    }
}
