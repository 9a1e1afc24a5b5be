//! Whether the spec of a policy that cannot be used might have denied.

use serde_json::Value;

/// Every spec but one that plainly allows, or is plainly in shadow mode.
#[must_use]
pub fn may_deny(spec: &Value) -> bool {
    let Value::Object(spec) = spec else { return true };
    let is_shadow = spec.get("mode").is_some_and(|mode| mode == "audit");
    !is_shadow && !matches!(spec.get("effect").map(Value::as_str), None | Some(Some("allow")))
}
