//! Decodes JSON strings and compacts JSON values as text, so that numbers keep their digits and buffers are overwritten on
//! drop. `serde_json` would round numbers and copy values into buffers that it does not overwrite.
//!
//! The input has passed `serde_json`'s syntax check, which accepts lone surrogates, duplicate keys and any depth. They are
//! refused here.

use serde::Deserialize;
use std::collections::BTreeSet;
use zeroize::Zeroizing;

/// Maximum nesting of a value.
const MAX_DEPTH: usize = 64;

/// Text that is not JSON, or JSON that is not accepted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InvalidJson;

/// Parses an object. `None` if the JSON is invalid or of another type: serde would also accept an array of the fields' values.
pub(super) fn parse_object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    let first = json.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    if first != Some(&b'{') {
        return None;
    }
    // `from_slice` does not check that skipped parts are UTF-8.
    serde_json::from_str(std::str::from_utf8(json).ok()?).ok()
}

/// Decodes a JSON string, given with its quotes.
///
/// # Errors
/// The text is not a string, or has a lone surrogate.
pub(super) fn unescape(quoted: &str) -> Result<Zeroizing<String>, InvalidJson> {
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(InvalidJson)?;
    // An escape is never shorter than its character, so the text never grows and never moves.
    let mut text = Zeroizing::new(String::with_capacity(inner.len()));
    let mut rest = inner;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let (character, length) = decode_escape(escape)?;
        text.push(character);
        rest = escape.get(length..).ok_or(InvalidJson)?;
    }
    text.push_str(rest);
    Ok(text)
}

/// Decodes an escape, given without its backslash. Returns the character, and the length of the escape in bytes.
fn decode_escape(escape: &str) -> Result<(char, usize), InvalidJson> {
    let character = match escape.bytes().next().ok_or(InvalidJson)? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        literal @ (b'"' | b'\\' | b'/') => char::from(literal),
        b'u' => return decode_unicode_escape(escape),
        _ => return Err(InvalidJson),
    };
    Ok((character, 1))
}

fn decode_unicode_escape(escape: &str) -> Result<(char, usize), InvalidJson> {
    let first = parse_code_unit(escape, 1)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 5));
    }
    if escape.get(5..7) != Some("\\u") {
        return Err(InvalidJson);
    }
    let second = parse_code_unit(escape, 7)?;
    match (first, second) {
        (0xd800..=0xdbff, 0xdc00..=0xdfff) => {
            let character = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
            Ok((character.ok_or(InvalidJson)?, 11))
        }
        _ => Err(InvalidJson),
    }
}

fn parse_code_unit(escape: &str, start: usize) -> Result<u32, InvalidJson> {
    let digits = escape.get(start..start + 4).ok_or(InvalidJson)?;
    // from_str_radix would accept a sign.
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(InvalidJson);
    }
    u32::from_str_radix(digits, 16).map_err(|_| InvalidJson)
}

/// Removes the whitespace between the tokens of a value. The tokens are not changed.
///
/// # Errors
/// The value has a malformed string or a duplicate key, or is nested deeper than [`MAX_DEPTH`].
pub(super) fn compact(json: &str) -> Result<Zeroizing<String>, InvalidJson> {
    let mut text = Zeroizing::new(String::with_capacity(json.len()));
    let mut containers: Vec<Container> = Vec::new();
    let mut expects_key = false;
    let mut position = 0;
    while let Some(byte) = json.as_bytes().get(position).copied() {
        let mut length = 1;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                position += 1;
                continue;
            }
            b'"' => {
                length = string_length(&json[position..])?;
                let string = unescape(&json[position..position + length])?;
                if expects_key && let Some(Container::Object(keys)) = containers.last_mut() {
                    // A key is a name, not a secret.
                    if !keys.insert(String::clone(&string)) {
                        return Err(InvalidJson);
                    }
                }
                expects_key = false;
            }
            b'{' => {
                containers.push(Container::Object(BTreeSet::new()));
                expects_key = true;
            }
            b'[' => containers.push(Container::Array),
            b'}' | b']' => {
                containers.pop().ok_or(InvalidJson)?;
                expects_key = false;
            }
            b',' => expects_key = matches!(containers.last(), Some(Container::Object(_))),
            _ => {}
        }
        if containers.len() > MAX_DEPTH {
            return Err(InvalidJson);
        }
        text.push_str(json.get(position..position + length).ok_or(InvalidJson)?);
        position += length;
    }
    Ok(text)
}

enum Container {
    Object(BTreeSet<String>),
    Array,
}

/// The length of the string at the beginning of the text, quotes included.
fn string_length(text: &str) -> Result<usize, InvalidJson> {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Ok(index + 1),
            _ => {}
        }
    }
    Err(InvalidJson)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unescape_follows_rfc_8259() {
        for (quoted, text) in [
            (r#""""#, ""),
            (r#""a/b""#, "a/b"),
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#""\u0041\u00e9\u2028""#, "Aé\u{2028}"),
            (r#""\ud83d\ude00x""#, "😀x"),
            (r#""\\u0041""#, r"\u0041"),
            (r#""\u0000""#, "\0"),
        ] {
            assert_eq!(unescape(quoted).as_deref().map(String::as_str), Ok(text), "{quoted}");
        }
    }

    #[test]
    fn lone_surrogates_and_invalid_escapes_are_refused() {
        for quoted in [
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83dx""#,
            r#""\ud83d\n""#,
            r#""\ud83d\ud83d""#,
            r#""\ude00\ud83d""#,
            r#""\ud83d\u0041""#,
            r#""\x""#,
            r#""\u12""#,
            r#""\u+041""#,
            r#""\u00é""#,
            r#""\""#,
            "a",
            "\"",
            "",
        ] {
            assert_eq!(unescape(quoted), Err(InvalidJson), "{quoted}");
        }
    }

    #[test]
    fn compact_removes_only_whitespace() {
        for (json, text) in [
            ("[ 1.50 ,\t-0e+07 , 12345678901234567890123 ]\n", "[1.50,-0e+07,12345678901234567890123]"),
            (r#"{ "b" : { "a" : "x y" } , "a" : [ ] }"#, r#"{"b":{"a":"x y"},"a":[]}"#),
            (r#"{ "a\"b " : "c\\" }"#, r#"{"a\"b ":"c\\"}"#),
            (r#"{ "<\u003c é" : 1e400 }"#, r#"{"<\u003c é":1e400}"#),
            (r#"[ "a" , "a" , { "a" : "a" } , { "a" : { "a" : 1 } } ]"#, r#"["a","a",{"a":"a"},{"a":{"a":1}}]"#),
        ] {
            assert_eq!(compact(json).as_deref().map(String::as_str), Ok(text), "{json}");
        }
    }

    #[test]
    fn duplicate_keys_lone_surrogates_and_deep_nesting_are_refused() {
        for json in [r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":2}"#, r#"[{"x":[1],"x":2}]"#, r#"["\ud800"]"#, "]", "[\"a"]
        {
            assert_eq!(compact(json), Err(InvalidJson), "{json}");
        }
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(compact(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(compact(&deep(MAX_DEPTH + 1)), Err(InvalidJson));
        assert_eq!(compact(&deep(100_000)), Err(InvalidJson));
    }

    proptest! {
        #[test]
        fn every_string_is_decoded_as_by_serde_json(text in any::<String>()) {
            let quoted = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(unescape(&quoted), Ok(Zeroizing::new(text)));
            prop_assert_eq!(compact(&quoted), Ok(Zeroizing::new(quoted)));
        }

        #[test]
        fn unescape_accepts_the_strings_that_serde_json_accepts(inner in r#"([a-z]|\\u[dD][89abcdCD][0-9]{2}|\\u00[0-9]{2}|\\[nrt"x]){0,6}"#) {
            let quoted = format!("\"{inner}\"");
            let theirs = serde_json::from_str::<String>(&quoted).ok();
            prop_assert_eq!(unescape(&quoted).ok(), theirs.map(Zeroizing::new));
        }
    }
}
