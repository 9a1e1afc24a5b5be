//! The JSON Schema of the configuration file (`openapi/config.schema.json`): its committed form, and its agreement with the loader.

mod documentation;
mod generator;
mod shape;

use super::*;
use documentation::Documentation;
use generator::dotted;
use shape::ENTRY;
use std::collections::BTreeSet;

/// Every section of the schema: its path and its keys.
fn sections(schema: &Value) -> Vec<(Vec<&str>, BTreeSet<&str>)> {
    fn collect<'a>(schema: &'a Value, path: &[&'a str], found: &mut Vec<(Vec<&'a str>, BTreeSet<&'a str>)>) {
        if let Some(properties) = schema["properties"].as_object() {
            found.push((path.to_vec(), properties.keys().map(String::as_str).collect()));
            for (key, schema) in properties {
                collect(schema, &[path, &[key]].concat(), found);
            }
        }
        if schema["items"].is_object() {
            collect(&schema["items"], &[path, &[ENTRY]].concat(), found);
        }
    }
    let mut found = Vec::new();
    collect(schema, &[], &mut found);
    found
}

fn committed() -> Value {
    serde_json::from_str(SCHEMA_JSON).expect("JSON")
}

/// The keys of these that the loader refuses as unknown in a section.
fn unknown_keys<'a>(path: &[&str], keys: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let keys: Vec<&str> = keys.iter().copied().collect();
    // Fewer than the maximum number of reported faults.
    let chunks = keys.chunks(50).flat_map(|keys| {
        let section: Value = keys.iter().map(|key| ((*key).to_owned(), Value::Null)).collect();
        let faults = generator::faults_below(path, section);
        keys.iter().copied().filter(move |key| faults.contains(&((*key).to_owned(), "unknown key".to_owned())))
    });
    chunks.collect()
}

#[test]
fn the_committed_schema_is_what_is_generated() {
    // A build without a store's feature refuses its settings as a whole, so it cannot name their bounds.
    if !cfg!(all(feature = "aws", feature = "azure", feature = "gcp")) {
        return;
    }
    let text = generator::write(&generator::generate(), 0) + "\n";
    if text != SCHEMA_JSON {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp");
        std::fs::create_dir_all(&folder).expect("made");
        std::fs::write(folder.join("config.schema.json"), text).expect("written");
        panic!("openapi/config.schema.json is stale: make config-schema");
    }
}

#[test]
fn schema_and_loader_have_the_same_keys() {
    let schema = committed();
    let sections = sections(&schema);
    let names: BTreeSet<&str> = sections.iter().flat_map(|(_, keys)| keys).copied().chain(["entries", ""]).collect();
    assert!(sections.len() > 35 && names.len() > 100, "{} sections, {} names", sections.len(), names.len());
    for (path, keys) in &sections {
        let expected: BTreeSet<&str> = names.difference(keys).copied().collect();
        assert_eq!(unknown_keys(path, &names), expected, "{path:?}");
    }
}

#[test]
fn default_yaml_documents_every_key() {
    let documentation = Documentation::parse();
    let schema = committed();
    for (path, keys) in sections(&schema) {
        for key in keys {
            let name = dotted(&[&*path, &[key]].concat());
            assert!(documentation.comment(&name).is_some(), "{name} has no comment");
        }
    }
}
