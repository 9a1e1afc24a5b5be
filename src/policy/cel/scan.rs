//! A look at the text before the parser sees it. The parser descends a level of the stack for each bracket and builds
//! a tree as deep as a chain of operators is long: neither may be deeper than the stack.
//!
//! Only strings are told from the rest, and only those that can be told without doubt: no raw, bytes or triple-quoted
//! strings, no comments, no exotic escapes.

use super::InvalidExpression;

/// The most bytes of an expression.
const MAX_BYTES: usize = 4096;

/// The most brackets within brackets.
const MAX_NESTING: usize = 16;

/// The most operators, dots among them.
const MAX_OPERATORS: usize = 256;

/// How deeply the brackets of an expression lie within each other.
///
/// # Errors
/// What is too long, too deep, or cannot be told apart.
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
            _ => return Err(InvalidExpression::new("has a character that has no meaning outside of strings")),
        }
        Ok(())
    }

    fn finish(self) -> Result<usize, InvalidExpression> {
        if self.deepest > MAX_NESTING {
            return Err(InvalidExpression::new("has more than 16 brackets within each other"));
        }
        if self.operators > MAX_OPERATORS {
            return Err(InvalidExpression::new("has more than 256 operators"));
        }
        Ok(self.deepest)
    }
}

/// What follows a string that has just been opened.
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
