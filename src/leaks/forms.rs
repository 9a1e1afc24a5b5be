//! The forms in which programs write a value.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::fmt::Write as _;
use zeroize::Zeroizing;

/// Minimum length of an encoded form; shorter ones match by chance.
const MIN_ENCODED_BYTES: usize = 6;
/// Line widths of `base64` and `openssl base64`.
const WIDTHS: [usize; 2] = [76, 64];

/// A form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// The value itself.
    Raw,
    /// One line of a value with several lines.
    Line,
    /// Base64 in either alphabet, at any offset within the encoded data; also with line breaks if the value is at
    /// its start.
    Base64,
    /// Hexadecimal.
    Hex,
    /// Percent-encoded, as in URLs and form data.
    Url,
    /// Escaped as in a JSON string, once or twice.
    Json,
    /// Quoted as in a shell.
    Shell,
}

impl Form {
    /// The name of the form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Line => "line",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Url => "url",
            Self::Json => "json",
            Self::Shell => "shell",
        }
    }
}

/// A byte string to search for, and its form.
pub(super) type Written = (Form, Zeroizing<Vec<u8>>);

/// The forms of a value without surrounding white space. Lines of at least `least_line` bytes are forms too.
pub(super) fn of(value: &str, least_line: usize) -> Vec<Written> {
    let mut written = List(vec![(Form::Raw, Zeroizing::new(value.as_bytes().to_vec()))]);
    for line in value.lines().map(str::trim) {
        // `-----BEGIN CERTIFICATE-----` is not a secret.
        if line.len() >= least_line && !line.starts_with("-----") {
            written.add(Form::Line, line.to_owned());
        }
    }
    if value.contains('\n') {
        written.add(Form::Raw, value.replace("\r\n", "\n"));
        written.add(Form::Raw, value.replace("\r\n", "\n").replace('\n', "\r\n"));
    }
    for before in 0..3 {
        base64(value.as_bytes(), before, &mut written);
    }
    written.add(Form::Hex, hex(value, |text, byte| write!(text, "{byte:02x}")));
    written.add(Form::Hex, hex(value, |text, byte| write!(text, "{byte:02X}")));
    for (kept, is_form) in [("-_.~", false), ("-_.~/", false), ("-_.!~*'()", false), ("-_.*", true)] {
        written.add(Form::Url, percent(value, kept, is_form, |text, byte| write!(text, "%{byte:02X}")));
        written.add(Form::Url, percent(value, kept, is_form, |text, byte| write!(text, "%{byte:02x}")));
    }
    for escaped in ["", "/", "<>&\u{2028}\u{2029}"] {
        for only_ascii in [false, true] {
            let once = json(value, escaped, only_ascii);
            written.add(Form::Json, json(&once, escaped, only_ascii).to_string());
            written.add(Form::Json, once.to_string());
        }
    }
    written.add(Form::Shell, value.replace('\'', r"'\''"));
    written.add(Form::Shell, backslashed(value, r#""\$`"#));
    written.add(Form::Shell, backslashed(value, r#""\$`!"#));
    written.0
}

/// A list without duplicates.
struct List(Vec<Written>);

impl List {
    fn add(&mut self, form: Form, text: String) {
        let text = Zeroizing::new(text.into_bytes());
        if text.len() >= MIN_ENCODED_BYTES && !self.0.iter().any(|(_, other)| *other == text) {
            self.0.push((form, text));
        }
    }
}

/// The base64 characters that do not depend on the bytes before and after the value, if `before` bytes precede it
/// in its group of three.
fn base64(value: &[u8], before: usize, written: &mut List) {
    let mut bytes = Zeroizing::new(vec![0; before]);
    bytes.extend_from_slice(value);
    // A character encodes six bits; characters that include bits of neighbouring bytes are omitted.
    let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    for alphabet in [STANDARD, URL_SAFE] {
        let text = Zeroizing::new(alphabet.encode(&*bytes));
        let Some(own) = text.get(first..end) else { continue };
        written.add(Form::Base64, own.to_owned());
        if before == 0 {
            // The value encoded alone, including its last bits.
            written.add(Form::Base64, text.to_string());
        }
        for width in WIDTHS {
            if before == 0 && own.len() > width {
                let lines: Vec<&str> =
                    own.as_bytes().chunks(width).filter_map(|l| std::str::from_utf8(l).ok()).collect();
                written.add(Form::Base64, lines.join("\n"));
            }
        }
    }
}

fn hex(value: &str, write: impl Fn(&mut String, u8) -> std::fmt::Result) -> String {
    let mut text = String::with_capacity(value.len() * 2);
    for byte in value.bytes() {
        // Writing to a String does not fail.
        let _ = write(&mut text, byte);
    }
    text
}

fn percent(value: &str, kept: &str, is_form: bool, write: impl Fn(&mut String, u8) -> std::fmt::Result) -> String {
    let mut text = String::with_capacity(value.len() * 3);
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) {
            text.push(char::from(byte));
        } else if is_form && byte == b' ' {
            text.push('+');
        } else {
            let _ = write(&mut text, byte);
        }
    }
    text
}

/// Escapes a string as JSON writers do: quotes, backslashes and control characters always, some others as
/// selected.
fn json(value: &str, escaped: &str, only_ascii: bool) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(value.len() * 2));
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '/' if escaped.contains('/') => text.push_str("\\/"),
            c if c < ' ' || escaped.contains(c) || (only_ascii && !c.is_ascii()) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
            c => text.push(c),
        }
    }
    text
}

fn backslashed(value: &str, special: &str) -> String {
    let mut text = String::with_capacity(value.len() * 2);
    for c in value.chars() {
        if special.contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(value: &str, form: Form, text: &str) -> bool {
        of(value, 8).iter().any(|(other, written)| *other == form && written.as_slice() == text.as_bytes())
    }

    #[test]
    fn a_plain_value_has_few_forms() {
        let forms = of("abcdefgh12345678", 8);
        let count = |form| forms.iter().filter(|(other, _)| *other == form).count();
        assert_eq!((count(Form::Raw), count(Form::Base64), count(Form::Hex)), (1, 4, 1));
        assert_eq!(forms.len(), 6, "its URL, JSON and shell forms are the value itself");
    }

    #[test]
    fn base64_is_found_wherever_it_begins() {
        let value = "s3cr3t+value/with~all?";
        for before in 0..7 {
            for behind in 0..4 {
                for engine in [STANDARD, URL_SAFE] {
                    let text = engine.encode(format!("{}{value}{}", "x".repeat(before), "y".repeat(behind)));
                    let found = of(value, 8).iter().any(|(form, written)| {
                        *form == Form::Base64 && text.contains(std::str::from_utf8(written).expect("ASCII"))
                    });
                    assert!(found, "{before} before, {behind} behind: {text}");
                }
            }
        }
        let long = "0123456789".repeat(12);
        let mut lines = STANDARD.encode(&long);
        lines.truncate(long.len() * 8 / 6);
        lines.insert(76, '\n');
        lines.insert(153, '\n');
        assert!(has(&long, Form::Base64, &lines), "{lines}");
    }

    #[test]
    fn every_writer_has_its_form() {
        let value = "p@ss \"w\u{f6}rd\"\\<&>/'$x'`\n2nd line!";
        for (form, text) in [
            (Form::Url, "p%40ss%20%22w%C3%B6rd%22%5C%3C%26%3E%2F%27%24x%27%60%0A2nd%20line%21"),
            (Form::Url, "p%40ss%20%22w%C3%B6rd%22%5C%3C%26%3E%2F'%24x'%60%0A2nd%20line!"),
            (Form::Url, "p%40ss+%22w%c3%b6rd%22%5c%3c%26%3e%2f%27%24x%27%60%0a2nd+line%21"),
            (Form::Json, r#"p@ss \"wörd\"\\<&>/'$x'`\n2nd line!"#),
            (Form::Json, r#"p@ss \"w\u00f6rd\"\\<&>/'$x'`\n2nd line!"#),
            (Form::Json, r#"p@ss \"wörd\"\\\u003c\u0026\u003e/'$x'`\n2nd line!"#),
            (Form::Json, r#"p@ss \\\"wörd\\\"\\\\<&>/'$x'`\\n2nd line!"#),
            (Form::Shell, "p@ss \"wörd\"\\<&>/'\\''$x'\\''`\n2nd line!"),
            (Form::Shell, "p@ss \\\"wörd\\\"\\\\<&>/'\\$x'\\`\n2nd line!"),
            (Form::Line, "2nd line!"),
            (Form::Raw, "p@ss \"wörd\"\\<&>/'$x'`\r\n2nd line!"),
        ] {
            assert!(has(value, form, text), "{text}");
        }
        assert!(!has("-----BEGIN KEY-----\nabcdefghijkl", Form::Line, "-----BEGIN KEY-----"));
        assert!(!has("short\nabcdefghijkl", Form::Line, "short"));
    }
}
