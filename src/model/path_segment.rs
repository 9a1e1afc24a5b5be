//! One literal segment of a path as policies and the configuration write it: plain characters, and others percent-encoded.

use std::borrow::Cow;

/// Whether a byte is not percent-encoded.
#[must_use]
pub const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'=' | b'-')
}

/// Decodes a segment. Each name has one encoding, apart from the case of hexadecimal digits.
///
/// # Errors
/// The violated rule.
pub fn decode(text: &str) -> Result<Box<str>, &'static str> {
    decode_with(text, |byte| if is_plain(byte) { Ok(byte) } else { Err(NOT_ENCODED) })
}

/// Like [`decode`], but characters that a policy must encode are accepted unencoded, except those of patterns.
///
/// # Errors
/// The violated rule.
pub fn decode_leniently(text: &str) -> Result<Box<str>, &'static str> {
    decode_with(text, |byte| if b"*?[]{}\\".contains(&byte) { Err(NOT_ENCODED) } else { Ok(byte) })
}

fn decode_with(text: &str, unencoded: impl Fn(u8) -> Result<u8, &'static str>) -> Result<Box<str>, &'static str> {
    if matches!(text, "" | "." | "..") {
        return Err("no segment may be empty, . or .., and there is no slash at either end");
    }
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        name.push(if *byte == b'%' {
            let (digits, after) = rest.split_at_checked(2).ok_or(NOT_ENCODED)?;
            rest = after;
            encoded([digits[0], digits[1]])?
        } else {
            unencoded(*byte)?
        });
    }
    let name = String::from_utf8(name).map_err(|_| "the encoded bytes of a path must be UTF-8")?;
    if name.contains(char::is_control) {
        return Err("a path must not contain control characters");
    }
    Ok(name.into())
}

/// Percent-encodes a path for a URL, without its slashes.
#[must_use]
pub fn encode_path(path: &str) -> Cow<'_, str> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let stays = |byte: u8| is_plain(byte) || byte == b'/';
    if path.bytes().all(stays) {
        return Cow::Borrowed(path);
    }
    let mut encoded = String::with_capacity(path.len() + 16);
    for byte in path.bytes() {
        if stays(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 0xf)]));
        }
    }
    Cow::Owned(encoded)
}

const NOT_ENCODED: &str =
    "a segment has only letters, digits and . _ ~ = -; any other byte is written as % and two hex digits";

fn encoded(digits: [u8; 2]) -> Result<u8, &'static str> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    match high.zip(low).map(|(high, low)| high << 4 | low) {
        Some(b'/' | 0) => Err("%2F and %00 can stand in no path"),
        Some(byte) if is_plain(byte) => Err("a character that needs no encoding must be written as itself"),
        Some(byte) => Ok(byte),
        None => Err(NOT_ENCODED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_stands_for_one_name() {
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
