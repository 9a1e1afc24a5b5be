//! JSON that a shell or a terminal does not interpret: one line of printable ASCII.
//!
//! `curl` without `-f` saves an error body as the secret file, which a shell then sources, and log pipelines print audit events to
//! terminals. Therefore every character outside printable ASCII (control characters, bidirectional marks, look-alikes), and `$`,
//! `!` and `` ` ``, are written as `\uXXXX`. JSON parsers decode the same text.

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};
use std::io::{self, Write};

/// Initial capacity in bytes. Most bodies are smaller.
const INITIAL_CAPACITY: usize = 1536;

/// Serialises a value as one line.
///
/// # Errors
/// The value has no JSON form. Every body of `wire` has one.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::with_capacity(INITIAL_CAPACITY);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, ShellSafeFormatter(CompactFormatter)))?;
    // The formatter writes ASCII only.
    String::from_utf8(bytes).map_err(|error| serde::ser::Error::custom(error.utf8_error()))
}

struct ShellSafeFormatter(CompactFormatter);

impl Formatter for ShellSafeFormatter {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // Nearly every text needs no escape. `fold` has no early exit, so the compiler checks many bytes at once.
        if fragment.bytes().fold(true, |safe, byte| safe & is_shell_safe(byte)) {
            return self.0.write_string_fragment(writer, fragment);
        }
        let mut units = [0; 2];
        let mut rest = fragment;
        while let Some(at) = rest.bytes().position(|byte| !is_shell_safe(byte)) {
            let (safe, tail) = rest.split_at(at);
            self.0.write_string_fragment(writer, safe)?;
            let mut chars = tail.chars();
            if let Some(c) = chars.next() {
                for unit in c.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = chars.as_str();
        }
        self.0.write_string_fragment(writer, rest)
    }
}

/// Whether a byte is written as it is. False for all bytes of a character outside ASCII.
const fn is_shell_safe(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'$' | b'`' | b'!')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_string_gives_one_inert_line_with_the_same_value() {
        let hostile = "a\u{202e}b\u{2028}c\n\u{7f}\u{9b}$(id)`id`!! \"quoted\\\" é 😀";
        let json = to_string(&hostile).expect("a string");
        assert!(json.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'$' && b != b'`' && b != b'!'), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), hostile);
    }
}
