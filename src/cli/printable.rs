//! Words that may come from anywhere, so that a terminal prints them and obeys none.

/// The text with everything escaped that is not printed but obeyed: controls, and what turns the direction of text.
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
    fn nothing_printed_is_obeyed() {
        assert_eq!(printable("a é 😀"), "a é 😀");
        assert_eq!(printable("\u{1b}[2J\n\u{202e}\u{9b}"), "\\u{1b}[2J\\u{a}\\u{202e}\\u{9b}");
    }
}
