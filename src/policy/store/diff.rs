//! Computes the differences between two versions of a spec.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A changed value in a spec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpecChange {
    /// The JSON pointer of the value in the spec; empty for the whole spec.
    pub pointer: String,
    /// The old value; `None` if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The new value; `None` if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// The differences between two versions; `None` is a version before creation or after deletion. Lists of equal length are
/// compared entry by entry, other lists as a whole, because moved entries cannot be recognized.
pub fn diff(before: Option<&Value>, after: Option<&Value>) -> Vec<SpecChange> {
    let mut changes = Vec::new();
    compare("", before, after, &mut changes);
    changes
}

fn compare(pointer: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<SpecChange>) {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let added = after.keys().filter(|key| !before.contains_key(*key));
            for key in before.keys().chain(added) {
                let escaped = key.replace('~', "~0").replace('/', "~1");
                compare(&format!("{pointer}/{escaped}"), before.get(key), after.get(key), changes);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                compare(&format!("{pointer}/{index}"), Some(before), Some(after), changes);
            }
        }
        (before, after) => {
            changes.push(SpecChange { pointer: pointer.to_owned(), before: before.cloned(), after: after.cloned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn diff_as_json(before: &Value, after: &Value) -> Value {
        serde_json::to_value(diff(Some(before), Some(after))).expect("JSON")
    }

    #[test]
    fn diff_has_only_the_changed_values() {
        let before = json!({"repos": ["a", "b"], "branches": ["main"], "ticket": {"ttl": "2m"}, "x/~": 1});
        assert_eq!(diff_as_json(&before, &before), json!([]));
        let after = json!({"repos": ["a", "c"], "branches": ["main", "v*"], "x/~": 2, "condition": "true"});
        assert_eq!(
            diff_as_json(&before, &after),
            json!([
                {"pointer": "/branches", "before": ["main"], "after": ["main", "v*"]},
                {"pointer": "/repos/1", "before": "b", "after": "c"},
                {"pointer": "/ticket", "before": {"ttl": "2m"}},
                {"pointer": "/x~1~0", "before": 1, "after": 2},
                {"pointer": "/condition", "after": "true"},
            ])
        );
    }

    #[test]
    fn creation_and_deletion_have_the_whole_spec() {
        let spec = json!({"repos": ["a"]});
        let whole = |before, after| vec![SpecChange { pointer: String::new(), before, after }];
        assert_eq!(diff(None, Some(&spec)), whole(None, Some(spec.clone())));
        assert_eq!(diff(Some(&spec), None), whole(Some(spec.clone()), None));
    }

    #[test]
    fn a_diff_is_deserialized_as_it_was_serialized() {
        let changes = diff(Some(&json!({"a": 1})), Some(&json!({"b": [null]})));
        let text = serde_json::to_string(&changes).expect("JSON");
        assert_eq!(serde_json::from_str::<Vec<SpecChange>>(&text).expect("changes"), changes);
    }
}
