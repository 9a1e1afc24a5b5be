//! The percent-encoding of literal path segments in policies and in the configuration. Values of placeholders have the encoding of
//! `path_encoding`.

use super::hex_escape;
use std::borrow::Cow;

const NOT_ENCODED_FAULT: &str =
    "a segment has only letters, digits and . _ ~ = -; any other byte is written as % and two hex digits";

/// Decodes a segment. Each name has one encoding, apart from the case of hexadecimal digits.
///
/// # Errors
/// The violated rule.
pub fn decode(text: &str) -> Result<Box<str>, &'static str> {
    decode_with(text, |byte| if is_unescaped(byte) { Ok(byte) } else { Err(NOT_ENCODED_FAULT) })
}

/// Like [`decode`], but also accepts characters that a policy must encode. Only the characters of patterns, such as `*`, must be
/// encoded.
///
/// # Errors
/// The violated rule.
pub fn decode_leniently(text: &str) -> Result<Box<str>, &'static str> {
    decode_with(text, |byte| if b"*?[]{}\\".contains(&byte) { Err(NOT_ENCODED_FAULT) } else { Ok(byte) })
}

fn decode_with(text: &str, unescaped: impl Fn(u8) -> Result<u8, &'static str>) -> Result<Box<str>, &'static str> {
    if matches!(text, "" | "." | "..") {
        return Err("no segment may be empty, . or .., and there is no slash at either end");
    }
    let name = hex_escape::decode(text, b'%', decode_escape, unescaped)?;
    let name = String::from_utf8(name).map_err(|_| "the encoded bytes of a path must be UTF-8")?;
    if name.contains(char::is_control) {
        return Err("a path must not contain control characters");
    }
    Ok(name.into())
}

fn decode_escape(digits: &[u8]) -> Result<u8, &'static str> {
    match hex_escape::parse_digits(digits) {
        Some(b'/' | 0) => Err("%2F and %00 can stand in no path"),
        Some(byte) if is_unescaped(byte) => Err("a character that needs no encoding must be written as itself"),
        Some(byte) => Ok(byte),
        None => Err(NOT_ENCODED_FAULT),
    }
}

/// Percent-encodes the segments of a path for a URL. The slashes between them stay.
#[must_use]
pub fn encode_path(path: &str) -> Cow<'_, str> {
    let is_kept = |byte: u8| is_unescaped(byte) || byte == b'/';
    if path.bytes().all(is_kept) {
        return Cow::Borrowed(path);
    }
    let mut encoded = String::with_capacity(path.len() + 16);
    for byte in path.bytes() {
        if is_kept(byte) {
            encoded.push(char::from(byte));
        } else {
            hex_escape::append(&mut encoded, '%', byte);
        }
    }
    Cow::Owned(encoded)
}

const fn is_unescaped(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'=' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_the_encoding_of_one_name() {
        for (text, name) in [
            ("rds%21cluster-1a96", "rds!cluster-1a96"),
            ("Team%20A", "Team A"),
            ("a%40b", "a@b"),
            ("my%2Bapp", "my+app"),
            ("caf%C3%A9", "café"),
            ("caf%c3%a9", "café"),
            ("a%25b", "a%b"),
            ("%7Brepo%7D", "{repo}"),
            ("A_b-c.d~e=f", "A_b-c.d~e=f"),
            ("...", "..."),
        ] {
            assert_eq!(decode(text).as_deref(), Ok(name), "{text}");
            assert_eq!(decode_leniently(text).as_deref(), Ok(name), "{text}");
            if !text.contains("%c3") {
                assert_eq!(encode_path(name), text);
            }
        }
        for text in [
            "", ".", "..", "%", "%2", "%2G", "a%", "%2F", "%2f", "%00", "%0A", "%7F", "%41", "%2D", "%2E%2E", "%7E",
            "%3D", "%FF", "%C3", "%C2%85",
        ] {
            assert!(decode(text).is_err() && decode_leniently(text).is_err(), "{text}");
        }
        for text in ["a b", "é", "a+b", "a!b"] {
            assert!(decode(text).is_err(), "{text}");
            assert_eq!(decode_leniently(text).as_deref(), Ok(text));
        }
        for text in ["b*", "a?", "[a]", "{repo}", "a\\b"] {
            assert!(decode(text).is_err() && decode_leniently(text).is_err(), "{text}");
        }
    }
}
