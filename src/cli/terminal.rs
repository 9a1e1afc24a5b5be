//! Escapes untrusted text for a terminal.

use std::fmt::Write as _;

/// Escapes control characters and bidirectional marks, which a terminal would interpret.
pub fn escape_for_terminal(text: &str) -> String {
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

/// Escapes the same characters in JSON as `\uXXXX`, except its line breaks. The result is the same JSON value: serializers escape
/// only control characters below U+0020, and the others occur in strings only.
pub fn escape_json_for_terminal(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_interpreted(c) {
            // All of them have at most 16 bits. Writing to a String does not fail.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Whether a terminal interprets the character: control characters and bidirectional marks.
pub fn is_interpreted(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_bidirectional_marks_are_escaped() {
        assert_eq!(escape_for_terminal("a é 😀"), "a é 😀");
        assert_eq!(escape_for_terminal("\u{1b}[2J\n\u{202e}\u{9b}"), "\\u{1b}[2J\\u{a}\\u{202e}\\u{9b}");
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let value = serde_json::json!({"a\u{9b}": ["\u{1b}[2J\n\u{7f}\u{85}", "\u{202e}\u{200f}\u{2066}", "é 😀 $x!"], "b": {}});
        let pretty = serde_json::to_string_pretty(&value).expect("a tree");
        let escaped = escape_json_for_terminal(&pretty);
        assert!(escaped.chars().all(|c| c == '\n' || !is_interpreted(c)), "{escaped}");
        assert!(escaped.contains("é 😀 $x!") && escaped.contains(r#""a\u009b": ["#), "{escaped}");
        assert_eq!(escaped.lines().count(), pretty.lines().count());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).expect("JSON"), value);
    }
}
