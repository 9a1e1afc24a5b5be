//! Whether a spec that does not compile might have denied. Pure.

use serde_json::Value;

/// Everything but a spec that plainly allows, or is plainly in shadow mode.
pub(super) fn may_deny(spec: &Value) -> bool {
    let Value::Object(spec) = spec else { return true };
    let is_shadow = spec.get("mode").is_some_and(|mode| mode == "audit");
    !is_shadow && !matches!(spec.get("effect").map(Value::as_str), None | Some(Some("allow")))
}
