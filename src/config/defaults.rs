//! The default values (`default.yaml`), and their merge with a document.

use crate::document::{self, Fault};
use serde_json::{Map, Value};

/// All keys with their defaults and their documentation.
pub const DEFAULT_YAML: &str = include_str!("default.yaml");

/// The JSON Schema of the configuration file. `make config-schema` writes it.
pub const SCHEMA_JSON: &str = include_str!("../../openapi/config.schema.json");

/// The parsed `default.yaml`.
pub(super) struct Defaults {
    /// All keys outside lists, with their defaults. A key without a default is null.
    pub(super) sections: Value,
    /// Defaults for entries of lists, by place, such as `stores[].vault`.
    entries: Map<String, Value>,
}

impl Defaults {
    /// Parses the embedded `default.yaml`.
    ///
    /// # Errors
    /// The embedded file is invalid, which a test excludes.
    pub(super) fn parse() -> Result<Self, Fault> {
        let mut sections = document::parse(DEFAULT_YAML)?;
        let entries = sections.as_object_mut().and_then(|map| map.remove("entries"));
        match entries {
            Some(Value::Object(entries)) => Ok(Self { sections, entries }),
            _ => Err(Fault::new("/entries", "must be a map")),
        }
    }

    /// Returns the defaults, overridden by the document.
    pub(super) fn merge_with(self, document: Value) -> Value {
        let mut tree = self.sections;
        merge(&mut tree, document);
        for (place, entry_defaults) in &self.entries {
            let Some((list, path)) = place.split_once("[].") else { continue };
            let entries = tree.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
            for entry in entries {
                if let Some(section) = find_mut(entry, path).filter(|section| section.is_object()) {
                    let mut merged = entry_defaults.clone();
                    merge(&mut merged, section.take());
                    *section = merged;
                }
            }
        }
        tree
    }
}

/// Overrides `base`: maps are merged, lists and scalars are replaced, and null keeps the base value.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (_, Value::Null) => {}
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

fn find_mut<'a>(entry: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.').try_fold(entry, |value, key| value.get_mut(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merge_merges_maps_replaces_lists_and_keeps_values_for_null() {
        let mut tree = json!({"a": {"b": 1, "c": 2}, "list": [1, 2], "d": 3});
        merge(&mut tree, json!({"a": {"c": 9}, "list": [3], "d": null, "e": 5}));
        assert_eq!(tree, json!({"a": {"b": 1, "c": 9}, "list": [3], "d": 3, "e": 5}));
    }

    #[test]
    fn an_entry_gets_only_the_defaults_of_its_kind() {
        let defaults = Defaults::parse().expect("default.yaml");
        let tree = defaults.merge_with(json!({
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
