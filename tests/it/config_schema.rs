//! The JSON Schema of the configuration file, checked with a validator: it accepts the documented configurations and refuses
//! unknown keys. That its keys are those of the loader is a test of `config`.

use crate::chart::rendered::render;
use crate::rig::claviger::run;
use crate::rig::installed;
use bad_values::BAD_VALUES;
use claviger::config::{DEFAULT_YAML, SCHEMA_JSON};
use good_values::{GOOD_VALUES, good, set};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

#[path = "../../src/config/tests/bad_values.rs"]
mod bad_values;
#[path = "../../src/config/tests/good_values.rs"]
mod good_values;

/// Faults that the schema expresses too, unless they depend on other keys or on files.
const EXPRESSED: [&str; 12] = [
    ": unknown key",
    ": must be a string",
    ": must be a map",
    ": must be a list",
    ": must be one of",
    ": must be true or false",
    ": must be a whole number",
    ": must be a duration",
    ": must be a size",
    ": must begin with https://",
    ": must have exactly one of",
    ": must have at least one",
];

fn schema() -> Value {
    serde_json::from_str(SCHEMA_JSON).unwrap()
}

/// The errors of each document: place and message.
fn validate(documents: &[Value]) -> Vec<Vec<(String, String)>> {
    let program = installed::program("json-schema");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("rig/json_schema.py");
    let mut command = Command::new(program);
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let input = json!({"schema": schema(), "documents": documents}).to_string();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn assert_valid(documents: &[(String, Value)]) {
    let values: Vec<Value> = documents.iter().map(|(_, value)| value.clone()).collect();
    for ((name, value), errors) in documents.iter().zip(validate(&values)) {
        assert!(errors.is_empty(), "{name}: {errors:?}\n{value}");
    }
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Adds the lists that each configuration must have.
fn completed(mut config: Value) -> Value {
    for list in ["authenticators", "stores"] {
        if config[list].as_array().is_none_or(Vec::is_empty) {
            config[list] = good()[list].clone();
        }
    }
    config
}

/// The configuration that a document is or, as chart values, has.
fn config_of(document: &Value) -> Option<Value> {
    let keys = document.as_object()?;
    match keys.get("config") {
        Some(config) if config.is_object() => Some(config.clone()),
        _ => {
            let schema = schema();
            let is_section = |key: &String| schema["properties"].get(key).is_some();
            (!keys.is_empty() && keys.keys().all(is_section)).then(|| document.clone())
        }
    }
}

#[test]
fn the_command_prints_the_committed_schema() {
    assert_eq!(run(&["config", "schema"]), (Some(0), SCHEMA_JSON.to_owned(), String::new()));
    let (code, help, _) = run(&["config", "--help"]);
    assert!(code == Some(0) && help.contains("schema  Print the JSON Schema (draft 2020-12)"), "{help}");
    assert_eq!(run(&["config"]).0, Some(2));
    assert_eq!(run(&["config", "shema"]).0, Some(2));
}

#[test]
fn the_defaults_and_the_documented_configurations_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut defaults = yaml(DEFAULT_YAML);
    defaults.as_object_mut().unwrap().remove("entries");
    let mut documents = vec![("default.yaml".to_owned(), completed(defaults))];
    // The examples in the comments of default.yaml.
    for list in ["authenticators", "stores"] {
        let description = schema()["properties"][list]["description"].as_str().unwrap().to_owned();
        let example: Vec<&str> = description.lines().filter(|line| line.starts_with("  ")).collect();
        documents.push((format!("example of {list}"), completed(json!({list: yaml(&example.join("\n"))}))));
    }
    let folders = ["docs", "charts/claviger"].map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let pages = folders.into_iter().flatten().map(|entry| entry.unwrap().path()).chain([root.join("README.md")]);
    for page in pages.filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(&page).unwrap();
        for block in text.split("\n```yaml\n").skip(1) {
            let block = block.split("\n```").next().unwrap();
            let found = serde_saphyr::from_multiple::<Value>(block).unwrap_or_default();
            let configs = found.iter().filter_map(config_of);
            documents.extend(configs.map(|config| (page.display().to_string(), completed(config))));
        }
    }
    assert!(documents.len() >= 3 + 7, "{}", documents.len());
    let sets = fs::read_dir(root.join("charts/claviger/ci")).unwrap();
    for set in sets.map(|entry| entry.unwrap().path()) {
        let rendered = render(&set);
        let maps = rendered.all("ConfigMap");
        let config = maps.iter().find_map(|map| map["data"]["claviger.yaml"].as_str()).unwrap();
        documents.push((set.display().to_string(), yaml(config)));
    }
    assert_valid(&documents);
}

#[test]
fn values_that_the_loader_accepts_are_valid() {
    let mut documents = vec![("good".to_owned(), good())];
    for (pointer, value) in GOOD_VALUES {
        let mut document = good();
        set(&mut document, pointer, yaml(value));
        documents.push((format!("{pointer} = {value}"), document));
    }
    assert_valid(&documents);
}

#[test]
fn values_that_the_loader_refuses_by_key_or_form_are_invalid() {
    let is_expressed = |fault: &str| {
        let is_missing = fault.ends_with(": must be set") && !fault.contains(".client");
        is_missing || EXPRESSED.iter().any(|part| fault.contains(part))
    };
    let of_form: Vec<_> = BAD_VALUES.iter().filter(|(.., fault)| is_expressed(fault)).collect();
    assert!(of_form.iter().filter(|(.., fault)| fault.ends_with("unknown key")).count() >= 3 && of_form.len() > 40);
    let documents: Vec<Value> = of_form
        .iter()
        .map(|(pointer, value, _)| {
            let mut document = good();
            set(&mut document, pointer, yaml(value));
            document
        })
        .collect();
    for ((pointer, value, _), errors) in of_form.iter().zip(validate(&documents)) {
        assert!(!errors.is_empty(), "{pointer} = {value}");
    }
}

/// Collects the place of every section, as a pointer into a document.
fn collect_sections(schema: &Value, pointer: &str, found: &mut Vec<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        found.push(pointer.to_owned());
        for (key, schema) in properties {
            collect_sections(schema, &format!("{pointer}/{key}"), found);
        }
    }
    if schema["items"].is_object() {
        collect_sections(&schema["items"], &format!("{pointer}/0"), found);
    }
}

/// A document with this value at the pointer, in which 0 is the only entry of a list.
fn document_with(pointer: &str, value: Value) -> Value {
    pointer.split('/').skip(1).collect::<Vec<_>>().into_iter().rfold(value, |value, step| match step {
        "0" => json!([value]),
        key => json!({key: value}),
    })
}

#[test]
fn an_unknown_key_is_refused_in_every_section() {
    let mut sections = Vec::new();
    collect_sections(&schema(), "", &mut sections);
    assert!(sections.len() > 35, "{sections:?}");
    let with = |value: Value| -> Vec<Value> { sections.iter().map(|at| document_with(at, value.clone())).collect() };
    let has_error = |errors: &[(String, String)], place: &str| {
        errors.iter().any(|(at, message)| at == place && message.contains("Additional properties"))
    };
    for ((place, refused), accepted) in
        sections.iter().zip(validate(&with(json!({"bogus": null})))).zip(validate(&with(json!({}))))
    {
        assert!(has_error(&refused, place) && !has_error(&accepted, place), "{place}: {refused:?} {accepted:?}");
    }
}
