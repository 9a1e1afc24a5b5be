//! The custom resource definitions, made from the types of the policy language: so the schema that the API server checks is the
//! language itself. A schema cannot say everything; the rest is told in the status of an object.

use super::policy::PolicySpec;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The most entries of a list or map.
const MAX_ENTRIES: u64 = 1000;
/// The most characters of a text.
const MAX_LENGTH: u64 = 4096;
/// The most characters of free text and of expressions.
const MAX_PROSE: u64 = 65_536;
/// The most characters of a path template.
const MAX_PATH: u64 = 1024;

/// Values that the API server writes where a field is left out, so that columns show them.
const DEFAULTS: [(&str, &str); 2] = [("effect", "allow"), ("mode", "enforce")];

/// What of the language can be said without a server, by the place of the schema below `spec`. `*` is an item.
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

/// Both definitions: that of policies of namespaces first.
#[must_use]
pub fn definitions() -> [Value; 2] {
    [definition(true), definition(false)]
}

fn definition(namespaced: bool) -> Value {
    let (kind, plural, singular, short, scope) = if namespaced {
        ("Policy", "policies", "policy", "cpol", "Namespaced")
    } else {
        ("ClusterPolicy", "clusterpolicies", "clusterpolicy", "ccpol", "Cluster")
    };
    let description = if namespaced {
        "A policy of its namespace: which of the pods there get which secrets for which repos and branches. It reaches what \
         policies.tenants of the server gives the namespace, and nothing else."
    } else {
        "A policy of the cluster: which callers get which secrets for which repos and branches."
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
                "additionalPrinterColumns": columns(),
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "description": description,
                    "required": ["spec"],
                    "properties": {
                        "apiVersion": {"type": "string"},
                        "kind": {"type": "string"},
                        "metadata": {"type": "object"},
                        "spec": spec(namespaced),
                        "status": status(),
                    },
                }},
            }],
        },
    })
}

fn columns() -> Value {
    let ready = |field: &str| format!(".status.conditions[?(@.type==\"Ready\")].{field}");
    json!([
        {"name": "Ready", "type": "string", "jsonPath": ready("status"), "description": "Whether the policy is in force."},
        {"name": "Effect", "type": "string", "jsonPath": ".spec.effect"},
        {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
        {"name": "Repos", "type": "string", "jsonPath": ".spec.repos"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Reason", "type": "string", "jsonPath": ready("reason"), "priority": 1},
        {"name": "Message", "type": "string", "jsonPath": ready("message"), "priority": 1},
    ])
}

fn status() -> Value {
    json!({
        "type": "object",
        "description": "What became of the policy. Written by the server.",
        "properties": {
            "observedGeneration": {
                "type": "integer", "format": "int64", "description": "The generation that the status speaks of.",
            },
            "conditions": {
                "type": "array",
                "description": "One condition, Ready.",
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

fn spec(namespaced: bool) -> Value {
    let mut named = Vec::new();
    PolicySpec::schemas(&mut named);
    let named: Map<String, Value> = named.into_iter().map(|(name, schema)| (name, as_json(&schema))).collect();
    let mut spec = structural(&as_json(&PolicySpec::schema()), &named, "");
    for (field, default) in DEFAULTS {
        if let Some(schema) = spec["properties"].get_mut(field) {
            schema["default"] = default.into();
        }
    }
    for (place, rule, message) in RULES {
        if let Some(schema) = at(&mut spec, place) {
            let rules =
                schema.as_object_mut().map(|schema| schema.entry("x-kubernetes-validations").or_insert(json!([])));
            if let Some(Value::Array(rules)) = rules {
                rules.push(json!({"rule": rule, "message": message}));
            }
        }
    }
    if namespaced {
        narrow(&mut spec);
    }
    spec
}

/// What a policy of a namespace leaves out is told in its status, where a person looks for it, and not pruned or refused here.
fn narrow(spec: &mut Value) {
    if let Some(pods) = at(spec, &["subjects", "*", "kubernetes"]) {
        if let Some(Value::Array(required)) = pods.get_mut("required") {
            required.retain(|field| field != "namespaces");
        }
        if let Some(Value::Object(namespaces)) = pods["properties"].get_mut("namespaces") {
            namespaces.remove("minItems");
            namespaces.insert("description".into(), "Must be left out: the namespace of the policy is implied.".into());
        }
    }
    if let Some(oidc) = at(spec, &["subjects", "*", "oidc"]) {
        oidc["description"] = "Only in a ClusterPolicy; here the policy is Invalid.".into();
    }
}

fn at<'a>(schema: &'a mut Value, place: &[&str]) -> Option<&'a mut Value> {
    place.iter().try_fold(schema, |schema, step| match *step {
        "*" => schema.get_mut("items"),
        field => schema.get_mut("properties")?.get_mut(field),
    })
}

fn as_json(schema: &RefOr<Schema>) -> Value {
    // It is made of texts, numbers, lists and maps.
    serde_json::to_value(schema).unwrap_or_default()
}

/// A schema without references, types that are several, and what the API server does not take.
fn structural(schema: &Value, named: &Map<String, Value>, field: &str) -> Value {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = reference.rsplit('/').next().unwrap_or_default();
        let mut whole = structural(named.get(name).unwrap_or(&Value::Null), named, field);
        if let Some(description) = schema.get("description") {
            whole["description"] = description.clone();
        }
        return whole;
    }
    if let Some(Value::Array(one_of)) = schema.get("oneOf") {
        let mut set = one_of.iter().filter(|schema| schema["type"] != "null");
        if let (Some(only), None) = (set.next(), set.next()) {
            return structural(only, named, field);
        }
        // A text or a map: no type says that.
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
                Some(pattern) => match words(pattern) {
                    Some(words) => result.insert("enum".into(), words.into()),
                    None => result.insert("pattern".into(), pattern.into()),
                },
                None => result.insert("maxLength".into(), max_length(field).into()),
            };
        }
        Some("array") => {
            result.insert("maxItems".into(), MAX_ENTRIES.into());
            result.insert("items".into(), structural(&schema["items"], named, field));
        }
        Some("object") => {
            if let Some(Value::Object(properties)) = schema.get("properties") {
                let properties =
                    properties.iter().map(|(name, schema)| (name.clone(), structural(schema, named, name)));
                result.insert("properties".into(), Value::Object(properties.collect()));
            } else {
                result.insert("maxProperties".into(), MAX_ENTRIES.into());
                let values = structural(&schema["additionalProperties"], named, field);
                result.insert("additionalProperties".into(), values);
            }
        }
        _ => {}
    }
    Value::Object(result)
}

fn max_length(field: &str) -> u64 {
    match field {
        "path" => MAX_PATH,
        "description" | "condition" | "repo" | "branch" => MAX_PROSE,
        _ => MAX_LENGTH,
    }
}

/// The words of a pattern that lists words.
fn words(pattern: &str) -> Option<Vec<&str>> {
    let inner = pattern.strip_prefix('^')?.strip_suffix('$')?;
    let inner = inner.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(inner);
    let words: Vec<&str> = inner.split('|').collect();
    words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the API server demands of a structural schema.
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
    fn every_rule_has_its_place() {
        for namespaced in [true, false] {
            let mut spec = spec(namespaced);
            for (place, rule, _) in RULES {
                let rules = &at(&mut spec, place).unwrap_or_else(|| panic!("{place:?}"))["x-kubernetes-validations"];
                assert!(rules.as_array().is_some_and(|rules| rules.iter().any(|one| one["rule"] == rule)), "{rule}");
            }
        }
    }

    #[test]
    fn words_become_an_enumeration() {
        assert_eq!(words("^(allow|deny)$"), Some(vec!["allow", "deny"]));
        assert_eq!(words("^base64$"), Some(vec!["base64"]));
        assert_eq!(words("^[a-z]+$"), None);
        assert_eq!(spec(false)["properties"]["effect"]["enum"], json!(["allow", "deny"]));
        assert_eq!(spec(false)["properties"]["effect"]["default"], "allow");
    }
}
