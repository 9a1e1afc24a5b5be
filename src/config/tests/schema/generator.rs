//! Generates the JSON Schema of the configuration file. Keys and types are those that serde decodes; descriptions and
//! defaults are those of `default.yaml`; choices, bounds and required keys are those that the loader names in its faults.

use super::documentation::Documentation;
use super::shape::{ENTRY, Shape, shape_at};
use crate::config::from_text;
use crate::document::Fault;
use serde_json::{Map, Value, json};

/// Length up to which a value is written on one line.
const MAX_COLUMNS: usize = 120;
/// The beginning of a fault that the loader reports for an invalid string, and the pattern of valid strings.
const PATTERNS: &[(&str, &str)] = &[
    ("must be a duration", "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"),
    ("must be at most 63 lower-case", "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"),
    ("must begin with https:// or http://", "^https?://"),
    ("must be sqlite::memory:, ", "^(sqlite::memory:$|sqlite://|postgres(ql)?://)"),
];

pub(super) fn generate() -> Value {
    let documentation = Documentation::parse();
    let mut schema = schema_at(&[], &documentation);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("The configuration of Claviger");
    schema["description"] = documentation.value_syntax.into();
    schema
}

/// Writes the schema of a single setting on one line, and other values if they fit into `MAX_COLUMNS`. This keeps the file
/// and the executable small.
pub(super) fn write(value: &Value, indent: usize) -> String {
    let line = value.to_string();
    let is_setting = value["type"] != Value::Null && value["properties"].is_null() && value["items"].is_null();
    let (open, close, items): (_, _, Vec<String>) = match value {
        _ if is_setting || line.len() <= MAX_COLUMNS => return line,
        Value::Object(map) => {
            let item = |(key, value): (&String, &Value)| format!("{}: {}", json!(key), write(value, indent + 1));
            ('{', '}', map.iter().map(item).collect())
        }
        Value::Array(items) => ('[', ']', items.iter().map(|item| write(item, indent + 1)).collect()),
        _ => return line,
    };
    let (outer, inner) = (" ".repeat(indent), " ".repeat(indent + 1));
    format!("{open}\n{inner}{}\n{outer}{close}", items.join(&format!(",\n{inner}")))
}

/// The path as the keys of `default.yaml` write it, such as `stores[].vault.timeout`.
pub(super) fn dotted(path: &[&str]) -> String {
    path.join(".").replace(".[]", ENTRY)
}

/// A configuration with this value at this path. The rest is valid, except where its validity depends on the value.
fn document_with(path: &[&str], value: Value) -> Value {
    let mut document = json!({"server": {"listen": "127.0.0.1:8080"}});
    let nested = path.iter().rev().fold(value, |value, step| match *step {
        ENTRY => json!([value]),
        key => json!({key: value}),
    });
    for (key, value) in nested.as_object().into_iter().flatten() {
        document[key] = value.clone();
    }
    document
}

/// The loader's faults at a path, if it has this value.
pub(super) fn faults_at(path: &[&str], value: Value) -> Vec<String> {
    faults(path, value).into_iter().filter(|(rest, _)| rest.is_empty()).map(|(_, detail)| detail).collect()
}

/// The loader's faults directly below a path, if it has this value: the key and the fault.
pub(super) fn faults_below(path: &[&str], value: Value) -> Vec<(String, String)> {
    let key = |(rest, detail): (String, String)| rest.strip_prefix('/').map(|key| (key.to_owned(), detail));
    faults(path, value).into_iter().filter_map(key).collect()
}

fn faults(path: &[&str], value: Value) -> Vec<(String, String)> {
    let pointer: String = path.iter().flat_map(|step| ["/", if *step == ENTRY { "0" } else { step }]).collect();
    let faults = from_text(&document_with(path, value).to_string(), std::iter::empty()).err().unwrap_or_default();
    let below = |fault: Fault| fault.pointer.strip_prefix(&pointer).map(|rest| (rest.to_owned(), fault.detail.clone()));
    faults.into_iter().filter_map(below).collect()
}

/// Of the loader's faults at a path, finds the first that begins with `start`, and returns what follows.
fn fault_after(path: &[&str], value: Value, start: &str) -> Option<String> {
    faults_at(path, value).iter().find_map(|fault| fault.strip_prefix(start).map(str::to_owned))
}

/// Whether a key is required: null, which otherwise keeps the default, is refused.
fn is_required(path: &[&str]) -> bool {
    let faults = faults_at(path, Value::Null);
    faults.iter().any(|fault| fault == "must be set" || fault.starts_with("must have "))
}

fn schema_at(path: &[&str], documentation: &Documentation) -> Value {
    let name = dotted(path);
    let mut schema = match shape_at(path) {
        Shape::Section(keys) => section(path, keys, documentation),
        Shape::Map => json!({
            "type": "object",
            "minProperties": 1,
            // The only map is `administrators.static[].claims`, whose values must be scalars.
            "additionalProperties": {"type": ["string", "number", "boolean"]},
        }),
        Shape::List => list(path, documentation),
        Shape::Text => text(path),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Number => number(path),
        Shape::Custom => custom(path),
    };
    let is_nullable = !path.is_empty() && !is_required(path);
    if is_nullable {
        let mut types = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
        types.push("null".into());
        schema["type"] = types.into();
        if let Some(choices) = schema.get_mut("enum").and_then(Value::as_array_mut) {
            choices.push(Value::Null);
        }
    }
    if let Some(comment) = documentation.comment(&name) {
        schema["description"] = comment.into();
    }
    if let Some(default) =
        documentation.value(&name).filter(|value| is_nullable && !value.is_null() && !value.is_object())
    {
        schema["default"] = default.clone();
    }
    schema
}

fn section(path: &[&str], keys: &[&'static str], documentation: &Documentation) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in keys {
        let path = [path, &[*key]].concat();
        if is_required(&path) {
            required.push(*key);
        }
        properties.insert((*key).to_owned(), schema_at(&path, documentation));
    }
    let mut schema = json!({"type": "object", "properties": properties});
    if !faults_at(&[path, &["no such key"]].concat(), json!(1)).is_empty() {
        schema["additionalProperties"] = false.into();
    }
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    if let Some(kinds) = fault_after(path, json!({}), "must have exactly one of ") {
        // A kind that is null counts as absent.
        let one = |kind: &str| json!({"required": [kind], "properties": {kind: {"not": {"type": "null"}}}});
        schema["oneOf"] = kinds.split(", ").map(one).collect();
    }
    schema
}

fn list(path: &[&str], documentation: &Documentation) -> Value {
    let mut schema = json!({"type": "array", "items": schema_at(&[path, &[ENTRY]].concat(), documentation)});
    if fault_after(path, json!([]), "must have at least one ").is_some() {
        schema["minItems"] = 1.into();
    }
    schema
}

fn text(path: &[&str]) -> Value {
    let mut schema = json!({"type": "string"});
    let faults = faults_at(path, json!("?"));
    if let Some(names) = faults.iter().find_map(|fault| fault.strip_prefix("must be one of ")) {
        schema["enum"] = names.split(", ").collect();
    } else if let Some((_, pattern)) =
        PATTERNS.iter().find(|(start, _)| faults.iter().any(|fault| fault.starts_with(start)))
    {
        let is_https = faults_at(path, json!("http://host")) == ["must begin with https://"];
        schema["pattern"] = if is_https { "^https://" } else { *pattern }.into();
    }
    if schema.get("enum").is_none() && !faults_at(path, json!("")).is_empty() {
        schema["minLength"] = 1.into();
    }
    schema
}

fn number(path: &[&str]) -> Value {
    let bounds = fault_after(path, json!(u64::MAX), "must be between ").expect("bounds");
    let (minimum, maximum) = bounds.split_once(" and ").expect("two bounds");
    let parse = |bound: &str| bound.parse::<u64>().expect("a number");
    json!({"type": "integer", "minimum": parse(minimum), "maximum": parse(maximum)})
}

fn custom(path: &[&str]) -> Value {
    match &faults_at(path, json!({}))[..] {
        [fault] if fault.starts_with("must be a size") => {
            json!({"type": ["string", "integer"], "pattern": "^[0-9]+([KMGT]iB)?$", "minimum": 1})
        }
        [fault] if fault.starts_with("must be true or false, or a list of the names") => {
            json!({"type": ["boolean", "array"], "items": {"type": "string"}})
        }
        // A choice whose name is a boolean in YAML 1.1, such as off.
        [fault] if fault == "must be a string" && faults_at(path, json!(false)).is_empty() => {
            let mut schema = text(path);
            schema["type"] = json!(["string", "boolean"]);
            schema["enum"].as_array_mut().expect("choices").push(json!(false));
            schema
        }
        other => panic!("{path:?} has no schema: {other:?}"),
    }
}
