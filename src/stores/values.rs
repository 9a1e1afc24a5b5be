//! Parses the keys and values of a secret from the JSON object that a store sends.

use super::json_text::{InvalidJson, compact, unescape};
use crate::model::secret::SecretValue;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// Maximum number of keys of a secret.
const MAX_KEYS: usize = 10_000;

type Values = BTreeMap<String, Option<SecretValue>>;

/// Parses the keys and values: strings unchanged, numbers and booleans as their JSON text digit for digit, objects and arrays
/// as compact JSON, null as `None`.
///
/// # Errors
/// The JSON is not an object, has a duplicate key or more than [`MAX_KEYS`], or contains an invalid value.
pub(super) fn parse_values(object: &RawValue) -> Result<Values, InvalidJson> {
    let Members(members) = serde_json::from_str(object.get()).map_err(|_| InvalidJson)?;
    members.into_iter().map(|(key, raw)| Ok((key, parse_value(raw.get())?))).collect()
}

fn parse_value(json: &str) -> Result<Option<SecretValue>, InvalidJson> {
    let text = match json.bytes().next() {
        Some(b'n') => return Ok(None),
        Some(b'"') => unescape(json)?,
        Some(b'{' | b'[') => compact(json)?,
        _ => Zeroizing::new(json.to_owned()),
    };
    Ok(Some(into_secret_value(text)))
}

/// Moves the text into a [`SecretValue`] without a copy.
pub(super) fn into_secret_value(mut text: Zeroizing<String>) -> SecretValue {
    SecretValue::new(std::mem::take(&mut *text))
}

/// The members of an object, with undecoded values. Duplicate keys are refused.
struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((key, raw)) = map.next_entry::<String, &'de RawValue>()? {
            if members.insert(key, raw).is_some() || members.len() > MAX_KEYS {
                return Err(A::Error::custom("duplicate key, or too many keys"));
            }
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the test compares the values")]
    fn read(json: &str) -> Result<Vec<(String, Option<String>)>, InvalidJson> {
        let raw = serde_json::from_str::<&RawValue>(json).map_err(|_| InvalidJson)?;
        let text = |value: SecretValue| value.expose_secret().to_owned();
        Ok(parse_values(raw)?.into_iter().map(|(key, value)| (key, value.map(text))).collect())
    }

    #[test]
    fn each_type_of_value_becomes_text() {
        for (json, text) in [
            (r#""a\nb""#, Some("a\nb")),
            (r#""""#, Some("")),
            (r#""null""#, Some("null")),
            ("null", None),
            ("true", Some("true")),
            ("0", Some("0")),
            ("1.50", Some("1.50")),
            ("-1E+400", Some("-1E+400")),
            ("12345678901234567890123.450", Some("12345678901234567890123.450")),
            (r#"{ "b": [ 1.0, "x y" ], "a": null }"#, Some(r#"{"b":[1.0,"x y"],"a":null}"#)),
            ("[ ]", Some("[]")),
        ] {
            assert_eq!(read(&format!("{{\"K\": {json} }}")), Ok(vec![("K".into(), text.map(str::to_owned))]), "{json}");
        }
        assert_eq!(read("{}"), Ok(vec![]));
    }

    #[test]
    fn duplicate_keys_and_other_types_are_refused() {
        for json in [
            "null",
            "[]",
            r#"[["K","v"]]"#,
            r#""x""#,
            "1",
            r#"{"K":1,"K":2}"#,
            r#"{"K":1,"\u004b":2}"#,
            r#"{"\ud800":1}"#,
            r#"{"K":"\ud800"}"#,
            r#"{"K":{"a":1,"a":1}}"#,
            r#"{"K":01}"#,
            r#"{"K":NaN}"#,
            r#"{"K":"#,
            "{\"K\":\"a\nb\"}",
        ] {
            assert_eq!(read(json), Err(InvalidJson), "{json}");
        }
        let many =
            |count: usize| format!("{{{}}}", (0..count).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
        assert!(read(&many(MAX_KEYS)).is_ok());
        assert_eq!(read(&many(MAX_KEYS + 1)), Err(InvalidJson));
    }
}
