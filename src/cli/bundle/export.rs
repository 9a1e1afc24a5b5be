//! `export NAME='value'` lines.

use super::values::{Values, end_line};
use crate::model::secret::SecretValue;

/// Parses the lines.
pub fn read(text: &str) -> Option<Values> {
    let mut values = Values::new();
    let mut rest = text;
    while let Some(line) = rest.strip_prefix("export ") {
        let (name, quoted) = line.split_once("='")?;
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || !name.bytes().all(is_name) {
            return None;
        }
        let (value, behind) = quoted_value(quoted)?;
        values.push((name.to_owned(), value));
        rest = behind.strip_prefix('\n')?;
    }
    end_line(rest, values.len()).map(|()| values)
}

/// The value after an opening quote, and the text after its closing quote.
fn quoted_value(quoted: &str) -> Option<(SecretValue, &str)> {
    // Full capacity from the start: a string that grows leaves its old contents in memory.
    let mut value = String::with_capacity(quoted.len());
    let mut rest = quoted;
    loop {
        let (part, behind) = rest.split_once('\'')?;
        value.push_str(part);
        match behind.strip_prefix(r"\''") {
            Some(behind) => {
                value.push('\'');
                rest = behind;
            }
            None => return Some((SecretValue::new(value), behind)),
        }
    }
}
