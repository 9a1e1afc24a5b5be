//! Limits brackets and operators before parsing. The parser recurses for each bracket, and a chain of operators gives
//! a tree as deep as the chain is long; both depths must fit on the stack.
//!
//! The scan skips strings. So that it agrees with the parser on where a string ends, it refuses raw, bytes and
//! triple-quoted strings, comments, and unusual escapes.

use super::InvalidExpression;

/// Maximum length of an expression in bytes.
const MAX_BYTES: usize = 4096;

/// Maximum nesting of brackets.
const MAX_NESTING: usize = 16;

/// Maximum number of operators, dots included. An operator counts once per character (`&&` twice), and `in` counts once.
const MAX_OPERATORS: usize = 256;

/// Checks an expression, and returns the maximum nesting of its brackets.
///
/// # Errors
/// It is empty, too long or too deeply nested, has too many operators, or has refused syntax.
pub(super) fn max_nesting(source: &str) -> Result<usize, InvalidExpression> {
    if source.trim().is_empty() {
        return Err(InvalidExpression::new("must not be empty"));
    }
    if source.len() > MAX_BYTES {
        return Err(InvalidExpression::new("has more than 4096 bytes"));
    }
    let mut scan = Scan { nesting: 0, max_nesting: 0, operator_count: 0 };
    let mut rest = source.as_bytes();
    let mut word_length = 0;
    while let [byte, after @ ..] = rest {
        if byte.is_ascii_alphanumeric() || *byte == b'_' {
            word_length += 1;
            rest = after;
            continue;
        }
        let before = &source.as_bytes()[..source.len() - rest.len()];
        if before.ends_with(b"in") && word_length == 2 {
            scan.operator_count += 1;
        }
        rest = match byte {
            b'\'' | b'"' if word_length > 0 => return Err(InvalidExpression::new("has a quote right after a word")),
            b'\'' | b'"' => skip_string(*byte, after)?,
            other => {
                scan.count(*other, after)?;
                after
            }
        };
        word_length = 0;
    }
    scan.check_limits()
}

struct Scan {
    nesting: usize,
    max_nesting: usize,
    operator_count: usize,
}

impl Scan {
    fn count(&mut self, byte: u8, after: &[u8]) -> Result<(), InvalidExpression> {
        match byte {
            b'(' | b'[' | b'{' => {
                self.nesting += 1;
                self.max_nesting = self.max_nesting.max(self.nesting);
            }
            b')' | b']' | b'}' => self.nesting = self.nesting.saturating_sub(1),
            b'/' if after.first() == Some(&b'/') => return Err(InvalidExpression::new("has a comment")),
            b'.' | b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'=' | b'>' | b'!' | b'&' | b'|' | b'?' => {
                self.operator_count += 1;
            }
            b':' | b',' | b' ' | b'\t' | b'\n' | b'\r' => {}
            _ => return Err(InvalidExpression::new("has a character that is allowed only in strings")),
        }
        Ok(())
    }

    fn check_limits(self) -> Result<usize, InvalidExpression> {
        if self.max_nesting > MAX_NESTING {
            return Err(InvalidExpression::new("has more than 16 nested brackets"));
        }
        if self.operator_count > MAX_OPERATORS {
            return Err(InvalidExpression::new("has more than 256 operators"));
        }
        Ok(self.max_nesting)
    }
}

/// Skips a string after its opening quote. Returns the text after the closing quote.
fn skip_string(quote: u8, mut rest: &[u8]) -> Result<&[u8], InvalidExpression> {
    if rest.starts_with(&[quote, quote]) {
        return Err(InvalidExpression::new("has a triple-quoted string"));
    }
    loop {
        rest = match rest {
            [] => return Err(InvalidExpression::new("has a string that is not closed")),
            [b'\\', b'\\' | b'\'' | b'"' | b'n' | b'r' | b't', after @ ..] => after,
            [b'\\', ..] => {
                return Err(InvalidExpression::new("has an escape other than \\\\, \\', \\\", \\n, \\r and \\t"));
            }
            [control, ..] if *control < b' ' => {
                return Err(InvalidExpression::new("has a control character in a string"));
            }
            [byte, after @ ..] if *byte == quote => return Ok(after),
            [_, after @ ..] => after,
        };
    }
}
