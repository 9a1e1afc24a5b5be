//! JSON that is harmless in a shell and on a terminal: one line of printable ASCII, and inert when a shell sources it.
//!
//! `curl` without `-f` saves an error body as the secret file, and log pipelines print audit events to terminals. So every
//! character outside printable ASCII (controls, bidi marks, look-alikes) and what a shell expands inside double quotes is
//! written as `\uXXXX`. Any JSON reader gives the same text back.

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};
use std::io::{self, Write};

/// Initial capacity. Most texts are audit events of about a thousand bytes.
const USUAL_BYTES: usize = 1536;

/// Serialises to one line.
///
/// # Errors
/// If the value cannot be JSON, which for the bodies in this room would be a programming error.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Inert(CompactFormatter)))?;
    // The formatter writes ASCII only.
    String::from_utf8(bytes).map_err(|error| serde::ser::Error::custom(error.utf8_error()))
}

struct Inert(CompactFormatter);

impl Formatter for Inert {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // Nearly every text is plain. Without an early end the compiler checks many bytes at once.
        if fragment.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
            return self.0.write_string_fragment(writer, fragment);
        }
        let mut units = [0; 2];
        let mut rest = fragment;
        while let Some(at) = rest.bytes().position(|byte| !is_plain(byte)) {
            let (plain, tail) = rest.split_at(at);
            self.0.write_string_fragment(writer, plain)?;
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

/// No byte of a character beyond ASCII is plain, the first one included.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'$' | b'`' | b'!')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_line_of_ascii_and_reads_back_the_same() {
        let hostile = "a\u{202e}b\u{2028}c\n\u{7f}\u{9b}$(id)`id`!! \"quoted\\\" é 😀";
        let json = to_string(&hostile).expect("a string");
        assert!(json.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'$' && b != b'`' && b != b'!'), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), hostile);
    }
}
