//! A JSON parser that refuses duplicate member names, which `serde_json` accepts. With duplicates, two parsers may see different
//! values.

use super::fault::Fault;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Parses one JSON text.
///
/// # Errors
/// The text is not one well-formed value, has a duplicate name, or is nested more than 128 levels deep. The fault has the place, and
/// nothing of the text.
pub fn parse_json(text: &str) -> Result<Value, Fault> {
    serde_json::from_str::<UniqueNames>(text).map(|UniqueNames(value)| value).map_err(|error| {
        let kind = match error.classify() {
            serde_json::error::Category::Data => "duplicate key",
            serde_json::error::Category::Eof => "it ends too early",
            _ => "it is not JSON, or is nested too deeply",
        };
        Fault::new("", format!("not well-formed at line {}, column {}: {kind}", error.line(), error.column()))
    })
}

/// A value without duplicate names.
struct UniqueNames(Value);

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueNamesVisitor).map(Self)
    }
}

struct UniqueNamesVisitor;

impl<'de> Visitor<'de> for UniqueNamesVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(UniqueNames(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, UniqueNames(value))) = entries.next_entry::<String, _>()? {
            if map.insert(key, value).is_some() {
                return Err(A::Error::custom("duplicate name"));
            }
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parses_json() {
        let text = "\t{\"a\": [1, -1, 1.5, true, null, \"\\u00e9\\n\"],\n\t\"b\": {\"a\": {}}}\n";
        assert_eq!(parse_json(text), Ok(json!({"a": [1, -1, 1.5, true, null, "é\n"], "b": {"a": {}}})));
    }

    #[test]
    fn faults_have_the_place_and_nothing_of_the_text() {
        for text in [
            "",
            " ",
            "{",
            "{}{}",
            "a: hunter2",
            "{'a': 1}",
            "{\"a\": hunter2}",
            "{\"a\": 1, \"a\": 2}",
            "[{\"a\": 1, \"\\u0061\": \"hunter2\"}]",
            "\"\\ud800\"",
            "1e999",
            "# a comment",
            &"[".repeat(10_000),
            &"{\"a\":".repeat(10_000),
        ] {
            let fault = parse_json(text).expect_err(text);
            assert!(fault.detail.starts_with("not well-formed at line 1, column "), "{fault:?}");
            assert!(!fault.detail.contains("hunter2") && fault.detail.len() < 100, "{fault:?}");
        }
    }
}
