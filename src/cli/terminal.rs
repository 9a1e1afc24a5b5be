//! Escapes untrusted text for a terminal.

/// Escapes control characters and bidirectional marks, which a terminal would interpret.
pub fn escape_for_terminal(text: &str) -> String {
    let is_interpreted = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_interpreted(c) {
            escaped.extend(c.escape_unicode());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_bidirectional_marks_are_escaped() {
        assert_eq!(escape_for_terminal("a é 😀"), "a é 😀");
        assert_eq!(escape_for_terminal("\u{1b}[2J\n\u{202e}\u{9b}"), "\\u{1b}[2J\\u{a}\\u{202e}\\u{9b}");
    }
}
