//! Checks the text before parsing. The parser recurses for each bracket, and builds a tree as deep as a chain of
//! operators is long; both must fit the stack.
//!
//! Only strings are recognised, and only unambiguous ones: no raw, bytes or triple-quoted strings, no comments, no
//! unusual escapes.

use super::InvalidExpression;

/// Maximum length of an expression in bytes.
const MAX_BYTES: usize = 4096;

/// Maximum nesting of brackets.
const MAX_NESTING: usize = 16;

/// Maximum number of operators, including dots.
const MAX_OPERATORS: usize = 256;

/// The nesting of brackets in an expression.
///
/// # Errors
/// It is too long or too deeply nested, or a string is ambiguous.
pub(super) fn nesting(source: &str) -> Result<usize, InvalidExpression> {
    if source.trim().is_empty() {
        return Err(InvalidExpression::new("must not be empty"));
    }
    if source.len() > MAX_BYTES {
        return Err(InvalidExpression::new("has at most 4096 bytes"));
    }
    let mut scan = Scan { open: 0, deepest: 0, operators: 0 };
    let mut rest = source.as_bytes();
    let mut word = 0;
    while let [byte, after @ ..] = rest {
        if byte.is_ascii_alphanumeric() || *byte == b'_' {
            word += 1;
            rest = after;
            continue;
        }
        let before = &source.as_bytes()[..source.len() - rest.len()];
        if before.ends_with(b"in") && word == 2 {
            scan.operators += 1;
        }
        rest = match byte {
            b'\'' | b'"' if word > 0 => return Err(InvalidExpression::new("has a quote right after a word")),
            b'\'' | b'"' => string(*byte, after)?,
            other => {
                scan.other(*other, after)?;
                after
            }
        };
        word = 0;
    }
    scan.finish()
}

struct Scan {
    open: usize,
    deepest: usize,
    operators: usize,
}

impl Scan {
    fn other(&mut self, byte: u8, after: &[u8]) -> Result<(), InvalidExpression> {
        match byte {
            b'(' | b'[' | b'{' => {
                self.open += 1;
                self.deepest = self.deepest.max(self.open);
            }
            b')' | b']' | b'}' => self.open = self.open.saturating_sub(1),
            b'/' if after.first() == Some(&b'/') => return Err(InvalidExpression::new("has a comment")),
            b'.' | b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'=' | b'>' | b'!' | b'&' | b'|' | b'?' => {
                self.operators += 1;
            }
            b':' | b',' | b' ' | b'\t' | b'\n' | b'\r' => {}
            _ => return Err(InvalidExpression::new("has a character that is allowed only in strings")),
        }
        Ok(())
    }

    fn finish(self) -> Result<usize, InvalidExpression> {
        if self.deepest > MAX_NESTING {
            return Err(InvalidExpression::new("has more than 16 nested brackets"));
        }
        if self.operators > MAX_OPERATORS {
            return Err(InvalidExpression::new("has more than 256 operators"));
        }
        Ok(self.deepest)
    }
}

/// Skips a string after its opening quote; returns the rest.
fn string(quote: u8, mut rest: &[u8]) -> Result<&[u8], InvalidExpression> {
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
