//! The encodings in which programs write a value.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::fmt::Write as _;
use zeroize::Zeroizing;

/// Minimum length of an encoded form in bytes. Shorter ones are not searched for, because they would match by chance.
const MIN_ENCODED_BYTES: usize = 6;
/// Line widths of `base64` and `openssl base64`.
const LINE_WIDTHS: [usize; 2] = [76, 64];

closed_enum! {
    /// A kind of encoding of a value.
    pub enum Form {
        /// The value itself.
        Raw => "raw",
        /// One line of a multi-line value.
        Line => "line",
        /// Base64 in either alphabet, at any offset in the encoded data. Base64 with line breaks is found only if the value is at
        /// the start of the data.
        Base64 => "base64",
        /// Hexadecimal.
        Hex => "hex",
        /// Percent-encoded, as in URLs and form data.
        Url => "url",
        /// Escaped as in a JSON string, once or twice.
        Json => "json",
        /// Quoted as in a shell.
        Shell => "shell",
    }
}

/// An encoding of a value, and its kind.
pub(super) type EncodedForm = (Form, Zeroizing<Vec<u8>>);

/// Returns all encodings of a value, which must have no surrounding white space, and all lines of the value of at least
/// `min_line_bytes` bytes.
pub(super) fn encode_all(value: &str, min_line_bytes: usize) -> Vec<EncodedForm> {
    let mut forms = FormList(vec![(Form::Raw, Zeroizing::new(value.as_bytes().to_vec()))]);
    for line in value.lines().map(str::trim) {
        // `-----BEGIN CERTIFICATE-----` is not a secret.
        if line.len() >= min_line_bytes && !line.starts_with("-----") {
            forms.add(Form::Line, line.to_owned());
        }
    }
    if value.contains('\n') {
        forms.add(Form::Raw, value.replace("\r\n", "\n"));
        forms.add(Form::Raw, value.replace("\r\n", "\n").replace('\n', "\r\n"));
    }
    add_base64_and_hex(value.as_bytes(), &mut forms);
    for (unescaped, is_form_data) in [("-_.~", false), ("-_.~/", false), ("-_.!~*'()", false), ("-_.*", true)] {
        forms.add(Form::Url, percent_encode(value, unescaped, is_form_data, |text, byte| write!(text, "%{byte:02X}")));
        forms.add(Form::Url, percent_encode(value, unescaped, is_form_data, |text, byte| write!(text, "%{byte:02x}")));
    }
    for escaped in ["", "/", "<>&\u{2028}\u{2029}"] {
        for ascii_only in [false, true] {
            let once = escape_json(value, escaped, ascii_only);
            forms.add(Form::Json, escape_json(&once, escaped, ascii_only).to_string());
            forms.add(Form::Json, once.to_string());
        }
    }
    forms.add(Form::Shell, value.replace('\'', r"'\''"));
    forms.add(Form::Shell, escape_with_backslashes(value, r#""\$`"#));
    forms.add(Form::Shell, escape_with_backslashes(value, r#""\$`!"#));
    forms.0
}

/// Adds the encodings of the bytes that a value is the base64 of, if there are at least `min_bytes`: all for a text, and raw,
/// hexadecimal and base64 for other bytes. Of a value that is not canonical base64, nothing is added.
pub(super) fn add_decoded(value: &str, min_bytes: usize, min_line_bytes: usize, forms: &mut Vec<EncodedForm>) {
    // Full capacity from the start: a vector that grows leaves its old contents in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(base64::decoded_len_estimate(value.len())));
    if STANDARD.decode_vec(value, &mut bytes).is_err() {
        return;
    }
    let decoded = match std::str::from_utf8(&bytes).map(str::trim) {
        Ok(text) if text.len() >= min_bytes => encode_all(text, min_line_bytes),
        Err(_) if bytes.len() >= min_bytes => {
            let mut forms = FormList(vec![(Form::Raw, bytes.clone())]);
            add_base64_and_hex(&bytes, &mut forms);
            forms.0
        }
        _ => return,
    };
    for (form, bytes) in decoded {
        if !forms.iter().any(|(_, other)| *other == bytes) {
            forms.push((form, bytes));
        }
    }
}

fn add_base64_and_hex(value: &[u8], forms: &mut FormList) {
    for before in 0..3 {
        add_base64(value, before, forms);
    }
    forms.add(Form::Hex, to_hex(value, |text, byte| write!(text, "{byte:02x}")));
    forms.add(Form::Hex, to_hex(value, |text, byte| write!(text, "{byte:02X}")));
}

/// A list of forms. Duplicates and forms that are too short are not added.
struct FormList(Vec<EncodedForm>);

impl FormList {
    fn add(&mut self, form: Form, text: String) {
        let text = Zeroizing::new(text.into_bytes());
        if text.len() >= MIN_ENCODED_BYTES && !self.0.iter().any(|(_, other)| *other == text) {
            self.0.push((form, text));
        }
    }
}

/// Adds the base64 characters that depend only on the value, if `before` bytes precede it in its group of three bytes.
fn add_base64(value: &[u8], before: usize, forms: &mut FormList) {
    let mut bytes = Zeroizing::new(vec![0; before]);
    bytes.extend_from_slice(value);
    // A character encodes six bits. Characters with bits of neighbouring bytes are omitted.
    let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    for alphabet in [STANDARD, URL_SAFE] {
        let text = Zeroizing::new(alphabet.encode(&*bytes));
        let Some(inner) = text.get(first..end) else { continue };
        forms.add(Form::Base64, inner.to_owned());
        if before == 0 {
            // The value encoded on its own, with its last bits and padding.
            forms.add(Form::Base64, text.to_string());
        }
        for width in LINE_WIDTHS {
            if before == 0 && inner.len() > width {
                let lines: Vec<&str> =
                    inner.as_bytes().chunks(width).filter_map(|l| std::str::from_utf8(l).ok()).collect();
                forms.add(Form::Base64, lines.join("\n"));
            }
        }
    }
}

fn to_hex(value: &[u8], write: impl Fn(&mut String, u8) -> std::fmt::Result) -> String {
    let mut text = String::with_capacity(value.len() * 2);
    for byte in value {
        // Writing to a String does not fail.
        let _ = write(&mut text, *byte);
    }
    text
}

fn percent_encode(
    value: &str,
    unescaped: &str,
    is_form_data: bool,
    write: impl Fn(&mut String, u8) -> std::fmt::Result,
) -> String {
    let mut text = String::with_capacity(value.len() * 3);
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || unescaped.as_bytes().contains(&byte) {
            text.push(char::from(byte));
        } else if is_form_data && byte == b' ' {
            text.push('+');
        } else {
            let _ = write(&mut text, byte);
        }
    }
    text
}

/// Escapes a text for JSON: always quotes, backslashes and control characters, and also the characters in `escaped`.
fn escape_json(value: &str, escaped: &str, ascii_only: bool) -> Zeroizing<String> {
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
            c if c < ' ' || escaped.contains(c) || (ascii_only && !c.is_ascii()) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
            c => text.push(c),
        }
    }
    text
}

fn escape_with_backslashes(value: &str, special: &str) -> String {
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
        encode_all(value, 8).iter().any(|(other, encoded)| *other == form && encoded.as_slice() == text.as_bytes())
    }

    #[test]
    fn a_plain_value_has_few_encodings() {
        let forms = encode_all("abcdefgh12345678", 8);
        let count = |form| forms.iter().filter(|(other, _)| *other == form).count();
        assert_eq!((count(Form::Raw), count(Form::Base64), count(Form::Hex)), (1, 4, 1));
        assert_eq!(forms.len(), 6, "its URL, JSON and shell forms are the value itself");
    }

    #[test]
    fn base64_is_found_at_any_offset() {
        let value = "s3cr3t+value/with~all?";
        for before in 0..7 {
            for behind in 0..4 {
                for engine in [STANDARD, URL_SAFE] {
                    let text = engine.encode(format!("{}{value}{}", "x".repeat(before), "y".repeat(behind)));
                    let found = encode_all(value, 8).iter().any(|(form, encoded)| {
                        *form == Form::Base64 && text.contains(std::str::from_utf8(encoded).expect("ASCII"))
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
    fn encodings_of_common_programs_are_included() {
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

    #[test]
    fn a_value_that_is_base64_has_the_encodings_of_its_bytes() {
        let decoded = |value: &str| {
            let mut forms = Vec::new();
            add_decoded(value, 8, 8, &mut forms);
            forms
        };
        let has = |value: &str, form: Form, bytes: &[u8]| {
            decoded(value).iter().any(|(other, encoded)| *other == form && encoded.as_slice() == bytes)
        };
        assert!(has("YSBwbGFpbiB0ZXh0Cg==", Form::Raw, b"a plain text"), "without the white space around it");
        assert!(has("YSBwbGFpbiB0ZXh0Cg==", Form::Url, b"a%20plain%20text"));
        assert!(has("/u3+7QAAAAL/gAo=", Form::Raw, b"\xfe\xed\xfe\xed\0\0\0\x02\xff\x80\n"));
        assert!(has("/u3+7QAAAAL/gAo=", Form::Hex, b"feedfeed00000002ff800a"));
        assert!(!decoded("/u3+7QAAAAL/gAo=").iter().any(|(form, _)| matches!(form, Form::Url | Form::Json)));
        // Too short, without its padding, with other last bits, and in the other alphabet.
        for value in
            ["YSBwbGE=", "//79/A==", "YSBwbGFpbiB0ZXh0Cg", "YSBwbGFpbiB0ZXh0Ch==", "_u3-7QAAAAL_gAo=", "a value"]
        {
            assert!(decoded(value).is_empty(), "{value}");
        }
        let mut forms = encode_all("YSBwbGFpbiB0ZXh0", 8);
        add_decoded("YSBwbGFpbiB0ZXh0", 8, 8, &mut forms);
        let same = forms.iter().filter(|(_, bytes)| bytes.as_slice() == b"YSBwbGFpbiB0ZXh0").count();
        assert_eq!(same, 1, "the value itself is the base64 of its bytes");
    }
}
