//! JSON objects with unique names: of two claims with one name, two readers may see different ones.

use crate::document::parse_json;
use serde_json::{Map, Value};

/// Parses one object. `None` if the text is something else, has a duplicate name at any depth, or exceeds the
/// decoder's nesting limit (128).
pub fn object(text: &[u8]) -> Option<Map<String, Value>> {
    match parse_json(std::str::from_utf8(text).ok()?) {
        Ok(Value::Object(map)) => Some(map),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_usual_decoder_reads() {
        let text = br#"{"a":null,"b":[true,-1,18446744073709551615,1.5,"x\u00e9\n",{"a":{}}],"c":{"a":1}}"#;
        let usual: Value = serde_json::from_slice(text).unwrap();
        assert_eq!(object(text), usual.as_object().cloned());
    }

    #[test]
    fn refuses_names_that_stand_twice_and_everything_that_is_no_object() {
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
            assert_eq!(object(text.as_bytes()), None, "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), None, "not UTF-8");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(object(nested(100).as_bytes()).is_some());
        assert!(object(nested(10_000).as_bytes()).is_none());
    }
}
