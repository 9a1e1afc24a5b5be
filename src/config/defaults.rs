//! `default.yaml`, and merging a document with it.

use crate::document::{self, Fault};
use serde_json::{Map, Value};

/// All keys with their defaults; also the documentation for users.
pub const DEFAULT_YAML: &str = include_str!("default.yaml");

/// `default.yaml` as a tree.
pub(super) struct Defaults {
    /// All keys outside lists, with their defaults; null without a default.
    pub(super) sections: Value,
    /// Defaults for list entries, by place such as `stores[].vault`.
    entries: Map<String, Value>,
}

impl Defaults {
    /// # Errors
    /// Never for the embedded `default.yaml`, which the tests read.
    pub(super) fn read() -> Result<Self, Fault> {
        let mut sections = document::parse(DEFAULT_YAML)?;
        let entries = sections.as_object_mut().and_then(|map| map.remove("entries"));
        match entries {
            Some(Value::Object(entries)) => Ok(Self { sections, entries }),
            _ => Err(Fault::new("/entries", "must be a map")),
        }
    }

    /// Merges a document over the defaults.
    pub(super) fn under(self, document: Value) -> Value {
        let mut tree = self.sections;
        lay_over(&mut tree, document);
        for (place, begins_with) in &self.entries {
            let Some((list, path)) = place.split_once("[].") else { continue };
            let entries = tree.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
            for entry in entries {
                if let Some(written) = find(entry, path).filter(|written| written.is_object()) {
                    let mut filled = begins_with.clone();
                    lay_over(&mut filled, written.take());
                    *written = filled;
                }
            }
        }
        tree
    }
}

/// Maps are merged, lists and scalars are replaced, null keeps the existing value.
fn lay_over(under: &mut Value, over: Value) {
    match (under, over) {
        (_, Value::Null) => {}
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                lay_over(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}

fn find<'a>(entry: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.').try_fold(entry, |value, key| value.get_mut(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn maps_merge_lists_replace_and_null_leaves_the_default() {
        let mut tree = json!({"a": {"b": 1, "c": 2}, "list": [1, 2], "d": 3});
        lay_over(&mut tree, json!({"a": {"c": 9}, "list": [3], "d": null, "e": 5}));
        assert_eq!(tree, json!({"a": {"b": 1, "c": 9}, "list": [3], "d": 3, "e": 5}));
    }

    #[test]
    fn an_entry_begins_with_the_defaults_of_its_kind_and_of_no_other() {
        let defaults = Defaults::read().expect("default.yaml");
        let tree = defaults.under(json!({
            "authenticators": [{"name": "a", "kubernetes": {"cacheTtl": "1s"}}, null, {"name": "b"}],
            "stores": [{"vault": {"auth": {"appRole": {}}, "cache": {"ttl": "5s"}}}],
        }));
        assert_eq!(
            tree["authenticators"],
            json!([
                {"name": "a", "kubernetes": {"audience": "claviger", "unboundAudience": null, "issuer": null, "kubeconfig": null, "cacheTtl": "1s"}},
                null,
                {"name": "b"},
            ])
        );
        let vault = &tree["stores"][0]["vault"];
        assert_eq!(vault["auth"], json!({"appRole": {"mount": "approle", "roleId": null, "secretIdFile": null}}));
        assert_eq!((&vault["cache"]["ttl"], &vault["cache"]["negativeTtl"]), (&json!("5s"), &json!("10s")));
    }
}
