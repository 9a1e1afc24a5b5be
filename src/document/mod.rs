//! Strict YAML and JSON: decodes policies and the configuration, and reports all faults at once, each with its place.
//!
//! Serde stops at the first fault. Therefore a value that cannot be decoded is recorded as a fault and removed, and the rest is
//! decoded again.

mod fault;
mod json;
mod source_text;
mod strict;

pub use fault::{Fault, escape_pointer_token};
pub use json::parse_json;
pub use source_text::{
    SourceScalar, SourceValue, check_reinterpreted_scalars, parse_with_source, reinterpreted_scalars,
};

use fault::syntax_error_detail;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;
use strict::StrictDeserializer;

/// Maximum number of faults reported for one document.
const MAX_FAULTS: usize = 100;

/// Parses one YAML document; JSON is YAML too.
///
/// # Errors
/// The text is not one well-formed document, has a duplicate key, or exceeds the limits of the parser for aliases and nesting.
pub fn parse(text: &str) -> Result<Value, Fault> {
    serde_saphyr::from_str::<Value>(text).map_err(|error| Fault::new("", syntax_error_detail(&error)))
}

/// Parses YAML documents that are separated by `---`, and leaves out empty ones.
///
/// # Errors
/// A document is not well-formed.
pub fn parse_all(text: &str) -> Result<Vec<Value>, Fault> {
    serde_saphyr::from_multiple::<Value>(text).map_err(|error| Fault::new("", syntax_error_detail(&error)))
}

/// Serialises a value as YAML, such that [`parse`] gives the same value.
///
/// # Errors
/// The value has no YAML form. Every JSON tree has one.
pub fn to_yaml<T: Serialize>(value: &T) -> Result<String, serde_saphyr::SerializeError> {
    serde_saphyr::to_string(value)
}

/// Decodes a tree.
///
/// # Errors
/// A fault for each unknown key and each value of the wrong type, at most 100. `T` should have no required fields, so that a later
/// check reports missing values together with other faults.
pub fn decode<T: DeserializeOwned>(mut tree: Value) -> Result<T, Vec<Fault>> {
    match prune::<T>(&mut tree) {
        (Some(decoded), faults) if faults.is_empty() => Ok(decoded),
        (_, faults) => Err(faults),
    }
}

/// Removes every key and value that `T` does not accept from the tree, and decodes the rest. Returns the decoded rest, so that
/// the caller can also report faults in it, and a fault for each removed value. In a list, null replaces a removed value.
/// `None` after 100 faults, or at a fault that cannot be removed: of the whole tree, of a missing field, or of null in a list.
pub fn prune<T: DeserializeOwned>(tree: &mut Value) -> (Option<T>, Vec<Fault>) {
    let mut faults = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(StrictDeserializer(tree)) {
            Ok(decoded) => return (Some(decoded), faults),
            Err(error) => error,
        };
        let pointer = to_pointer(error.path().iter());
        let removed = remove_at(tree, &pointer);
        faults.push(Fault::new(pointer, describe(error.inner())));
        if !removed || faults.len() >= MAX_FAULTS {
            return (None, faults);
        }
    }
}

/// Describes an error without the value. Serde quotes the value before "expected" (`invalid type: string "hunter2", expected ...`), so only
/// the text after the last "expected" is used.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.starts_with("unknown field") {
        return "unknown key".into();
    }
    match text.rsplit_once("expected ") {
        Some((_, "u8" | "u16" | "u32" | "u64" | "usize")) => "must be a whole number in the valid range".into(),
        Some((_, "a boolean")) => "must be true or false".into(),
        Some((_, "a sequence")) => "must be a list".into(),
        Some((_, expected)) if expected.starts_with("struct ") => "must be a map".into(),
        Some((_, expected)) => format!("must be {expected}"),
        None => text,
    }
}

fn to_pointer<'a>(segments: impl Iterator<Item = &'a Segment>) -> String {
    let mut pointer = String::new();
    for segment in segments {
        match segment {
            Segment::Seq { index } => pointer.extend(["/", &index.to_string()]),
            Segment::Map { key } => pointer.extend(["/", &escape_pointer_token(key)]),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// Removes the value at a pointer. Returns false if there is none to remove, or if it is the whole tree.
fn remove_at(tree: &mut Value, pointer: &str) -> bool {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return false };
    match tree.pointer_mut(parent) {
        Some(Value::Object(map)) => map.remove(&last.replace("~1", "/").replace("~0", "~")).is_some(),
        // Null keeps the indices of the other items.
        Some(Value::Array(items)) => match last.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
            Some(item) if !item.is_null() => {
                *item = Value::Null;
                true
            }
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        name: Option<String>,
        inner: Option<Inner>,
        list: Vec<Option<Inner>>,
    }

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        count: Option<u16>,
    }

    #[test]
    fn all_faults_are_reported_with_place_and_without_value() {
        let tree =
            parse("name: [hunter2]\nbogus: 1\ninner: {count: hunter2, x: 1}\nlist: [{count: 70000}, {y: 1}, hunter2]")
                .expect("well-formed");
        let mut faults = decode::<Outer>(tree).expect_err("full of faults");
        faults.sort();
        let places: Vec<String> = faults.iter().map(Fault::dotted_path).collect();
        assert_eq!(places, ["bogus", "inner.count", "inner.x", "list[0].count", "list[1].y", "list[2]", "name"]);
        assert!(!format!("{faults:?}").contains("hunter2"));
    }

    #[test]
    fn decodes_a_valid_document() {
        let outer: Outer = decode(parse("name: a\nlist: [{count: 1}]").expect("well-formed")).expect("good");
        assert_eq!(outer.name.as_deref(), Some("a"));
        assert_eq!(outer.list[0].as_ref().and_then(|inner| inner.count), Some(1));
        assert!(outer.inner.is_none());
    }

    #[test]
    fn a_list_in_place_of_a_struct_is_a_fault_and_null_is_none() {
        let tree = parse("{name: null, inner: [1], list: [[1], null]}").expect("well-formed");
        let faults = decode::<Outer>(tree).expect_err("two lists");
        assert_eq!(faults, [Fault::new("/inner", "must be a map"), Fault::new("/list/0", "must be a map")]);
        assert_eq!(decode::<Outer>(parse("[a]").expect("well-formed")).expect_err("a list").len(), 1);
    }

    #[test]
    fn a_value_that_imitates_an_error_of_serde_is_not_repeated() {
        let tree = parse(r#"{name: [], inner: {count: ", expected hunter2"}}"#).expect("well-formed");
        let faults = decode::<Outer>(tree).expect_err("full of faults");
        assert!(!format!("{faults:?}").contains("hunter2"), "{faults:?}");
    }

    #[test]
    fn syntax_errors_are_reported_with_place_and_without_text() {
        for (text, detail) in [
            ("a: hunter2\na: hunter2", "not well-formed at line 2, column 1: duplicate key"),
            ("a: [hunter2", "not well-formed at line 1, column 4: unclosed bracket '['"),
            ("a: *hunter2", "not well-formed at line 1, column 4: an alias has no anchor"),
            ("a: !!int hunter2", "not well-formed at line 1, column 10: a value cannot be read"),
            ("a: 1\n--- hunter2", "not well-formed at line 2, column 5: there is more than one document"),
        ] {
            assert_eq!(parse(text), Err(Fault::new("", detail)), "{text:?}");
        }
        let deep = parse(&"[".repeat(1_000)).expect_err("deep");
        assert!(deep.detail.len() < 100, "{deep:?}");
    }

    #[test]
    fn to_yaml_and_parse_give_the_same_value() {
        for text in
            ["yes", "null", "~", "1", "1e3", "- a", "a: b", "a #b", "*", "[a]", "", " a ", "a\nb", "'\"\\\t\u{1b}é"]
        {
            let tree = serde_json::json!({"a": text, text: [text, true, 1, null], "b": {}});
            let yaml = to_yaml(&tree).expect("a tree");
            assert_eq!(parse(&yaml), Ok(tree), "{yaml}");
        }
    }

    #[test]
    fn parse_refuses_duplicate_keys_and_several_documents() {
        assert!(parse("a: 1\na: 2").is_err());
        assert!(parse("a: 1\n---\nb: 1").is_err());
        assert!(parse("a: [").is_err());
    }

    #[test]
    fn parse_all_keeps_the_order_and_leaves_out_empty_documents() {
        let trees = parse_all("a: 1\n---\n---\n# nothing\n---\na: 2\n").expect("well-formed");
        assert_eq!(trees, [serde_json::json!({"a": 1}), serde_json::json!({"a": 2})]);
        assert!(parse_all("a: 1\n---\nb: [").is_err());
        assert!(!parse_all("a: hunter2\n---\nb: [hunter2").expect_err("unclosed").detail.contains("hunter2"));
        assert_eq!(parse_all(""), Ok(vec![]));
    }
}
