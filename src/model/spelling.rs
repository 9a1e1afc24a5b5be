//! The spelling of any name as one path segment: `[A-Za-z0-9._-]` unchanged, `/` as `~`, and every other byte as
//! `=` and two upper-case hex digits.
//!
//! Different names have different spellings, and a name has exactly one. It is used in path templates of policies
//! and in paths of the Vault-compatible API.

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends the spelling of a name. `None` for names without one: an empty name, `.` and `..`.
pub fn write(text: &mut String, name: &str) -> Option<()> {
    if matches!(name, "" | "." | "..") {
        return None;
    }
    for byte in name.bytes() {
        match byte {
            b'/' => text.push('~'),
            plain if stays(plain) => text.push(char::from(plain)),
            other => {
                text.push('=');
                text.push(char::from(HEX[usize::from(other >> 4)]));
                text.push(char::from(HEX[usize::from(other & 0xf)]));
            }
        }
    }
    Some(())
}

/// The name that a segment spells. `None` if the segment is not the spelling of a UTF-8 name.
#[must_use]
pub fn read(segment: &str) -> Option<String> {
    let mut name = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        name.push(match byte {
            b'~' => b'/',
            b'=' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                let byte = hex(digits[0])? << 4 | hex(digits[1])?;
                if byte == b'/' || stays(byte) {
                    return None;
                }
                byte
            }
            plain if stays(*plain) => *plain,
            _ => return None,
        });
    }
    String::from_utf8(name).ok().filter(|name| !matches!(name.as_str(), "" | "." | ".."))
}

/// Whether a spelled name may contain this character. Any other character can separate two names.
#[must_use]
pub const fn may_contain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '=' | '-')
}

const fn stays(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn hex(digit: u8) -> Option<u8> {
    HEX.iter().position(|known| *known == digit).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spelled(name: &str) -> Option<String> {
        let mut text = String::new();
        write(&mut text, name).map(|()| text)
    }

    #[test]
    fn a_name_has_one_spelling_and_is_read_back() {
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
            assert_eq!(spelled(name).as_deref(), Some(text));
            assert_eq!(read(text).as_deref(), Some(name));
            assert!(text.chars().all(may_contain));
        }
    }

    #[test]
    fn any_other_spelling_is_none() {
        for text in [
            "", ".", "..", "=", "=4", "=4g", "=4a", "=c3=a9", "=41", "=2F", "=2E=2E", "=7e", "a b", "a/b", "a%20b",
            "café", "a@b", "a+b", "=FF", "=C3", "a\\b", "a=3", "=3D=", "a\0",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert!(["", ".", ".."].iter().all(|name| spelled(name).is_none()));
    }

    proptest! {
        #[test]
        fn every_name_is_read_back(name in "\\PC{1,40}") {
            if let Some(text) = spelled(&name) {
                prop_assert_eq!(read(&text), Some(name));
            }
        }

        #[test]
        fn every_text_that_is_read_is_the_spelling_of_its_name(text in "[A-Za-z0-9._~=%/-]{0,12}") {
            if let Some(name) = read(&text) {
                prop_assert_eq!(spelled(&name), Some(text));
            }
        }
    }
}
