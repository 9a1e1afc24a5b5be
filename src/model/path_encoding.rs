//! The encoding of a name as one path segment: `[A-Za-z0-9._-]` unchanged, `/` as `~`, and every other byte as `=` and two
//! upper-case hexadecimal digits.
//!
//! Path templates of policies and paths of the Vault-compatible API use it. Different names have different encodings. Every name
//! has exactly one, except the empty name, `.` and `..`, which have none.

use super::hex_escape;

/// Appends the encoding of a name. `None` if the name has no encoding; nothing is appended then.
pub fn append(text: &mut String, name: &str) -> Option<()> {
    if matches!(name, "" | "." | "..") {
        return None;
    }
    for byte in name.bytes() {
        match byte {
            b'/' => text.push('~'),
            byte if is_unescaped(byte) => text.push(char::from(byte)),
            byte => hex_escape::append(text, '=', byte),
        }
    }
    Some(())
}

/// Decodes a segment. `None` if it is not the encoding of a UTF-8 name.
#[must_use]
pub fn decode(segment: &str) -> Option<String> {
    let escaped = |digits: &[u8]| {
        let byte = hex_escape::parse_digits(digits).filter(|_| !digits.iter().any(u8::is_ascii_lowercase));
        byte.filter(|byte| *byte != b'/' && !is_unescaped(*byte)).ok_or(())
    };
    let unescaped = |byte| match byte {
        b'~' => Ok(b'/'),
        byte if is_unescaped(byte) => Ok(byte),
        _ => Err(()),
    };
    let name = String::from_utf8(hex_escape::decode(segment, b'=', escaped, unescaped).ok()?).ok()?;
    (!matches!(name.as_str(), "" | "." | "..")).then_some(name)
}

/// Whether an encoded name may contain this character. In a path template, any other character after a placeholder shows where
/// the name ends.
#[must_use]
pub const fn is_encoded_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '=' | '-')
}

const fn is_unescaped(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(name: &str) -> Option<String> {
        let mut text = String::new();
        append(&mut text, name).map(|()| text)
    }

    #[test]
    fn a_name_has_one_encoding_which_is_decoded() {
        for (name, text) in [
            ("main", "main"),
            ("feature/x", "feature~x"),
            ("apps/site", "apps~site"),
            ("feature/x@2", "feature~x=402"),
            ("a~b", "a=7Eb"),
            ("a=b", "a=3Db"),
            ("a b", "a=20b"),
            ("100%", "100=25"),
            ("café", "caf=C3=A9"),
            ("...", "..."),
            ("A_b-c.d", "A_b-c.d"),
        ] {
            assert_eq!(encoded(name).as_deref(), Some(text));
            assert_eq!(decode(text).as_deref(), Some(name));
            assert!(text.chars().all(is_encoded_char));
        }
    }

    #[test]
    fn other_texts_are_not_decoded() {
        for text in [
            "", ".", "..", "=", "=4", "=4g", "=4a", "=c3=a9", "=41", "=2F", "=2E=2E", "=7e", "a b", "a/b", "a%20b",
            "café", "a@b", "a+b", "=FF", "=C3", "a\\b", "a=3", "=3D=", "a\0",
        ] {
            assert_eq!(decode(text), None, "{text:?}");
        }
        assert!(["", ".", ".."].iter().all(|name| encoded(name).is_none()));
    }

    proptest! {
        #[test]
        fn every_encoded_name_is_decoded(name in "\\PC{1,40}") {
            if let Some(text) = encoded(&name) {
                prop_assert_eq!(decode(&text), Some(name));
            }
        }

        #[test]
        fn every_decoded_text_is_the_encoding_of_its_name(text in "[A-Za-z0-9._~=%/-]{0,12}") {
            if let Some(name) = decode(&text) {
                prop_assert_eq!(encoded(&name), Some(text));
            }
        }
    }
}
