//! The differences between two versions of a spec, short enough for people.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One change at one place of a spec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// The place, as a JSON pointer into the spec; empty for the whole spec.
    pub pointer: String,
    /// The old value; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The new value; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// The differences between two versions. Lists of equal length are compared entry by entry, others as a whole: a
/// moved entry cannot be identified.
pub fn diff(before: Option<&Value>, after: Option<&Value>) -> Vec<Edit> {
    let mut edits = Vec::new();
    compare("", before, after, &mut edits);
    edits
}

fn compare(pointer: &str, before: Option<&Value>, after: Option<&Value>, edits: &mut Vec<Edit>) {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let added = after.keys().filter(|key| !before.contains_key(*key));
            for key in before.keys().chain(added) {
                let escaped = key.replace('~', "~0").replace('/', "~1");
                compare(&format!("{pointer}/{escaped}"), before.get(key), after.get(key), edits);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                compare(&format!("{pointer}/{index}"), Some(before), Some(after), edits);
            }
        }
        (before, after) => {
            edits.push(Edit { pointer: pointer.to_owned(), before: before.cloned(), after: after.cloned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(before: &Value, after: &Value) -> Value {
        serde_json::to_value(diff(Some(before), Some(after))).expect("JSON")
    }

    #[test]
    fn tells_what_changed_and_nothing_else() {
        let before = json!({"repos": ["a", "b"], "branches": ["main"], "ticket": {"ttl": "2m"}, "x/~": 1});
        assert_eq!(shown(&before, &before), json!([]));
        let after = json!({"repos": ["a", "c"], "branches": ["main", "v*"], "x/~": 2, "condition": "true"});
        assert_eq!(
            shown(&before, &after),
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
    fn what_is_made_or_deleted_is_told_whole() {
        let spec = json!({"repos": ["a"]});
        let whole = |before, after| vec![Edit { pointer: String::new(), before, after }];
        assert_eq!(diff(None, Some(&spec)), whole(None, Some(spec.clone())));
        assert_eq!(diff(Some(&spec), None), whole(Some(spec.clone()), None));
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let edits = diff(Some(&json!({"a": 1})), Some(&json!({"b": [null]})));
        let text = serde_json::to_string(&edits).expect("JSON");
        assert_eq!(serde_json::from_str::<Vec<Edit>>(&text).expect("edits"), edits);
    }
}
