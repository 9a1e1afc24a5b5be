//! `export NAME='value'` lines.

use super::{Values, end_line};
use crate::model::secret::SecretValue;

/// Reads them.
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

/// The value behind an opening quote, and what stands behind its closing one.
fn quoted_value(quoted: &str) -> Option<(SecretValue, &str)> {
    // Room for all of it from the start: a text that grows leaves its old contents behind.
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
