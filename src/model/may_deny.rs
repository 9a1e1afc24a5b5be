//! Whether a policy that cannot be used, such as an invalid one, could be a deny policy.

use serde_json::Value;

/// Returns false only if the spec has `mode: audit`, or if `effect` is `allow` or absent.
#[must_use]
pub fn may_deny(spec: &Value) -> bool {
    let Value::Object(spec) = spec else { return true };
    let is_shadow = spec.get("mode").is_some_and(|mode| mode == "audit");
    !is_shadow && !matches!(spec.get("effect").map(Value::as_str), None | Some(Some("allow")))
}
