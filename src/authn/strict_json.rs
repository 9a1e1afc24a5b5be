//! JSON objects without duplicate names. If a token had two claims with the same name, two parsers could use different ones.

use crate::document::parse_json;
use serde_json::{Map, Value};

/// Parses one object. `None` if the text is not an object, has a duplicate name at any depth, or exceeds the
/// parser's nesting limit (128).
pub fn parse_object(text: &[u8]) -> Option<Map<String, Value>> {
    match parse_json(std::str::from_utf8(text).ok()?) {
        Ok(Value::Object(map)) => Some(map),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_parsed_as_by_serde_json() {
        let text = br#"{"a":null,"b":[true,-1,18446744073709551615,1.5,"x\u00e9\n",{"a":{}}],"c":{"a":1}}"#;
        let expected: Value = serde_json::from_slice(text).unwrap();
        assert_eq!(parse_object(text), expected.as_object().cloned());
    }

    #[test]
    fn whatever_is_not_one_object_with_unique_names_is_refused() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":[{"a":1,"a":2}]}"#,
            "[]",
            "null",
            "\"a\"",
            "",
            "{",
            "{}x",
            "{} {}",
            r#"{"a":1e400}"#,
            r#"{"a":"\ud800"}"#,
        ] {
            assert_eq!(parse_object(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_object(b"{\"a\":\"\xff\"}"), None, "not UTF-8");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse_object(nested(100).as_bytes()).is_some());
        assert!(parse_object(nested(10_000).as_bytes()).is_none());
    }
}
