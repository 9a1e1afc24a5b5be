//! The custom resource definitions, generated from the types of the policy language. Faults that their schemas cannot express are
//! reported in the status of an object.

use super::policy::PolicySpec;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Maximum number of entries of a list or map.
const MAX_ENTRIES: u64 = 1000;
/// Maximum number of characters of a text.
const MAX_LENGTH: u64 = 4096;
/// Maximum number of characters of free text and of expressions.
const MAX_PROSE: u64 = 65_536;
/// Maximum number of characters of a path template.
const MAX_PATH: u64 = 1024;

/// Values that the API server sets if a field is missing, so that the printer columns show them.
const DEFAULTS: [(&str, &str); 2] = [("effect", "allow"), ("mode", "enforce")];

/// Validation rules (CEL): the path of the schema below `spec` (`*` is an item of a list), the rule, and its message.
const RULES: [(&[&str], &str, &str); 6] = [
    (
        &[],
        "(has(self.effect) && self.effect == 'deny') || (has(self.secrets) && size(self.secrets) > 0)",
        "an allow policy grants at least one secret",
    ),
    (
        &[],
        "!has(self.effect) || self.effect != 'deny' || ((!has(self.secrets) || size(self.secrets) == 0) && !has(self.ticket) && \
         !has(self.delivery))",
        "a deny policy grants no secrets, issues no tickets and delivers nothing",
    ),
    (&["subjects", "*"], "has(self.kubernetes) != has(self.oidc)", "a subject has exactly one of kubernetes and oidc"),
    (&["attest"], "has(self.repo) || has(self.branch)", "attest has repo, branch or both"),
    (
        &["secrets", "*", "path"],
        "!self.matches('^(sys|auth|identity|cubbyhole)(/|$)')",
        "a path must not begin with sys, auth, identity or cubbyhole",
    ),
    (
        &["secrets", "*", "path"],
        "!self.startsWith('/') && !self.endsWith('/') && !self.contains('//') && !self.startsWith('{')",
        "a path has no empty segment, and its first segment is literal",
    ),
];

/// Returns the definitions of `Policy` and `ClusterPolicy`.
#[must_use]
pub fn definitions() -> [Value; 2] {
    [custom_resource_definition(true), custom_resource_definition(false)]
}

/// The definition of `Policy` if `namespaced`, otherwise of `ClusterPolicy`.
fn custom_resource_definition(namespaced: bool) -> Value {
    let (kind, plural, singular, short, scope) = if namespaced {
        ("Policy", "policies", "policy", "cpol", "Namespaced")
    } else {
        ("ClusterPolicy", "clusterpolicies", "clusterpolicy", "ccpol", "Cluster")
    };
    let description = if namespaced {
        "Grants or denies secrets to pods of its namespace, by repo and branch. It can grant only what policies.tenants of the \
         server allows for the namespace."
    } else {
        "Grants or denies secrets to callers, for repos and branches."
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.claviger.dev"), "labels": {"app.kubernetes.io/name": "claviger"}},
        "spec": {
            "group": "claviger.dev",
            "names": {
                "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular,
                "shortNames": [short], "categories": ["claviger"],
            },
            "scope": scope,
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": printer_columns(),
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "description": description,
                    "required": ["spec"],
                    "properties": {
                        "apiVersion": {"type": "string"},
                        "kind": {"type": "string"},
                        "metadata": {"type": "object"},
                        "spec": spec_schema(namespaced),
                        "status": status_schema(),
                    },
                }},
            }],
        },
    })
}

fn printer_columns() -> Value {
    let ready = |field: &str| format!(".status.conditions[?(@.type==\"Ready\")].{field}");
    json!([
        {"name": "Ready", "type": "string", "jsonPath": ready("status"), "description": "Whether the policy is active."},
        {"name": "Effect", "type": "string", "jsonPath": ".spec.effect"},
        {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
        {"name": "Repos", "type": "string", "jsonPath": ".spec.repos"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Reason", "type": "string", "jsonPath": ready("reason"), "priority": 1},
        {"name": "Message", "type": "string", "jsonPath": ready("message"), "priority": 1},
    ])
}

fn status_schema() -> Value {
    json!({
        "type": "object",
        "description": "Whether the policy is active, and why not. Written by the server.",
        "properties": {
            "observedGeneration": {
                "type": "integer", "format": "int64", "description": "The generation of the policy that the status describes.",
            },
            "conditions": {
                "type": "array",
                "description": "The condition Ready.",
                "maxItems": 8,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": {
                    "type": "object",
                    "required": ["type", "status", "lastTransitionTime", "reason", "message"],
                    "properties": {
                        "type": {"type": "string", "maxLength": 316},
                        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                        "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
                        "lastTransitionTime": {"type": "string", "format": "date-time"},
                        "reason": {
                            "type": "string", "maxLength": 1024,
                            "description": "Accepted, Invalid, BeyondCeiling, NameConflict or UnknownStore.",
                        },
                        "message": {
                            "type": "string", "maxLength": 32_768,
                            "description": "All faults, each with its JSON pointer.",
                        },
                    },
                },
            },
        },
    })
}

fn spec_schema(namespaced: bool) -> Value {
    let mut schemas = Vec::new();
    PolicySpec::schemas(&mut schemas);
    let schemas: Map<String, Value> = schemas.into_iter().map(|(name, schema)| (name, to_json(&schema))).collect();
    let mut spec = to_structural(&to_json(&PolicySpec::schema()), &schemas, "");
    for (field, default) in DEFAULTS {
        if let Some(schema) = spec["properties"].get_mut(field) {
            schema["default"] = default.into();
        }
    }
    for (path, rule, message) in RULES {
        if let Some(schema) = subschema_mut(&mut spec, path) {
            let rules =
                schema.as_object_mut().map(|schema| schema.entry("x-kubernetes-validations").or_insert(json!([])));
            if let Some(Value::Array(rules)) = rules {
                rules.push(json!({"rule": rule, "message": message}));
            }
        }
    }
    if namespaced {
        restrict_to_namespace(&mut spec);
    }
    spec
}

/// Adapts the schema to `Policy`. Fields that a `Policy` must leave out stay in the schema, so that the API server neither prunes
/// nor refuses them. Claviger then reports them in the status, where authors look.
fn restrict_to_namespace(spec: &mut Value) {
    if let Some(pods) = subschema_mut(spec, &["subjects", "*", "kubernetes"]) {
        if let Some(Value::Array(required)) = pods.get_mut("required") {
            required.retain(|field| field != "namespaces");
        }
        if let Some(Value::Object(namespaces)) = pods["properties"].get_mut("namespaces") {
            namespaces.remove("minItems");
            namespaces
                .insert("description".into(), "Must be left out, because the namespace of the policy applies.".into());
        }
    }
    if let Some(oidc) = subschema_mut(spec, &["subjects", "*", "oidc"]) {
        oidc["description"] = "Only for a ClusterPolicy. A Policy with oidc is Invalid.".into();
    }
}

/// The schema at a path, which is written as in [`RULES`].
fn subschema_mut<'a>(schema: &'a mut Value, path: &[&str]) -> Option<&'a mut Value> {
    path.iter().try_fold(schema, |schema, step| match *step {
        "*" => schema.get_mut("items"),
        field => schema.get_mut("properties")?.get_mut(field),
    })
}

fn to_json(schema: &RefOr<Schema>) -> Value {
    // Cannot fail: a schema consists of texts, numbers, lists and maps.
    serde_json::to_value(schema).unwrap_or_default()
}

/// Converts a schema of `OpenAPI` 3.1 to a structural schema, which the API server requires: without references, `oneOf`, lists of
/// types, and other keywords that it refuses.
fn to_structural(schema: &Value, schemas: &Map<String, Value>, field: &str) -> Value {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = reference.rsplit('/').next().unwrap_or_default();
        let mut resolved = to_structural(schemas.get(name).unwrap_or(&Value::Null), schemas, field);
        if let Some(description) = schema.get("description") {
            resolved["description"] = description.clone();
        }
        return resolved;
    }
    if let Some(Value::Array(one_of)) = schema.get("oneOf") {
        let mut non_null = one_of.iter().filter(|schema| schema["type"] != "null");
        if let (Some(only), None) = (non_null.next(), non_null.next()) {
            return to_structural(only, schemas, field);
        }
        // A text or a map, for which a structural schema has no type.
        let mut either = json!({"x-kubernetes-preserve-unknown-fields": true});
        if let Some(description) = schema.get("description") {
            either["description"] = description.clone();
        }
        return either;
    }
    let kind = match &schema["type"] {
        Value::Array(several) => several.iter().find(|kind| *kind != "null").cloned().unwrap_or_default(),
        kind => kind.clone(),
    };
    if kind.is_null() {
        return json!({"x-kubernetes-preserve-unknown-fields": true});
    }
    let mut result = Map::from_iter([("type".to_owned(), kind.clone())]);
    for key in ["description", "required", "minItems", "minimum", "maximum", "format"] {
        result.extend(schema.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    match kind.as_str() {
        Some("string") => {
            match schema.get("pattern").and_then(Value::as_str) {
                Some(pattern) => match enumerated_words(pattern) {
                    Some(words) => result.insert("enum".into(), words.into()),
                    None => result.insert("pattern".into(), pattern.into()),
                },
                None => result.insert("maxLength".into(), max_length(field).into()),
            };
        }
        Some("array") => {
            result.insert("maxItems".into(), MAX_ENTRIES.into());
            result.insert("items".into(), to_structural(&schema["items"], schemas, field));
        }
        Some("object") => {
            if let Some(Value::Object(properties)) = schema.get("properties") {
                let properties =
                    properties.iter().map(|(name, schema)| (name.clone(), to_structural(schema, schemas, name)));
                result.insert("properties".into(), Value::Object(properties.collect()));
            } else {
                result.insert("maxProperties".into(), MAX_ENTRIES.into());
                let values = to_structural(&schema["additionalProperties"], schemas, field);
                result.insert("additionalProperties".into(), values);
            }
        }
        _ => {}
    }
    Value::Object(result)
}

/// Maximum number of characters of a text in this field.
fn max_length(field: &str) -> u64 {
    match field {
        "path" => MAX_PATH,
        "description" | "condition" | "repo" | "branch" => MAX_PROSE,
        _ => MAX_LENGTH,
    }
}

/// The words of a pattern such as `^(allow|deny)$`. `None` for other patterns.
fn enumerated_words(pattern: &str) -> Option<Vec<&str>> {
    let inner = pattern.strip_prefix('^')?.strip_suffix('$')?;
    let inner = inner.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(inner);
    let words: Vec<&str> = inner.split('|').collect();
    words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks what the API server requires of a structural schema.
    fn check(schema: &Value, place: &str) {
        let schema = schema.as_object().unwrap_or_else(|| panic!("{place} is no schema"));
        for banned in ["$ref", "oneOf", "anyOf", "propertyNames"] {
            assert!(!schema.contains_key(banned), "{place} has {banned}");
        }
        let is_open = schema.get("x-kubernetes-preserve-unknown-fields").is_some();
        assert!(schema.get("type").is_some_and(Value::is_string) || is_open, "{place} has no type");
        for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            check(schema, &format!("{place}/{name}"));
            assert!(
                schema.get("description").is_some() || !place.starts_with("spec"),
                "{place}/{name} is not explained"
            );
        }
        for inner in ["items", "additionalProperties"] {
            if let Some(schema) = schema.get(inner) {
                check(schema, &format!("{place}/{inner}"));
            }
        }
    }

    #[test]
    fn every_schema_is_structural_bounded_and_explained() {
        for definition in definitions() {
            let version = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            check(&version["properties"]["spec"], "spec");
            check(&version["properties"]["status"], "status");
        }
    }

    #[test]
    fn every_rule_is_in_its_schema() {
        for namespaced in [true, false] {
            let mut spec = spec_schema(namespaced);
            for (path, rule, _) in RULES {
                let rules =
                    &subschema_mut(&mut spec, path).unwrap_or_else(|| panic!("{path:?}"))["x-kubernetes-validations"];
                assert!(rules.as_array().is_some_and(|rules| rules.iter().any(|one| one["rule"] == rule)), "{rule}");
            }
        }
    }

    #[test]
    fn a_pattern_of_words_becomes_an_enum() {
        assert_eq!(enumerated_words("^(allow|deny)$"), Some(vec!["allow", "deny"]));
        assert_eq!(enumerated_words("^base64$"), Some(vec!["base64"]));
        assert_eq!(enumerated_words("^[a-z]+$"), None);
        assert_eq!(spec_schema(false)["properties"]["effect"]["enum"], json!(["allow", "deny"]));
        assert_eq!(spec_schema(false)["properties"]["effect"]["default"], "allow");
    }
}
