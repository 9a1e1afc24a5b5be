//! Escapes untrusted text so that a terminal prints it and interprets none of it.

/// The text with control characters and bidirectional marks escaped.
pub fn printable(text: &str) -> String {
    let is_obeyed = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut printed = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed(c) {
            printed.extend(c.escape_unicode());
        } else {
            printed.push(c);
        }
    }
    printed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_bidi_marks_are_escaped() {
        assert_eq!(printable("a é 😀"), "a é 😀");
        assert_eq!(printable("\u{1b}[2J\n\u{202e}\u{9b}"), "\\u{1b}[2J\\u{a}\\u{202e}\\u{9b}");
    }
}
