//! Parses the lines of `export`: `export NAME='value'`.

use super::values::{Values, check_end_line, check_name};
use crate::model::secret::SecretValue;

/// Parses the lines. `None` if they are not exactly as the server renders them.
pub fn parse(text: &str) -> Option<Values> {
    let mut values = Values::new();
    let mut rest = text;
    while let Some(line) = rest.strip_prefix("export ") {
        let (name, quoted) = line.split_once("='")?;
        check_name(name)?;
        let (value, tail) = split_quoted(quoted)?;
        values.push((name.to_owned(), value));
        rest = tail.strip_prefix('\n')?;
    }
    check_end_line(rest, values.len()).map(|()| values)
}

/// Splits the text after an opening quote into the value, and the text after the closing quote.
fn split_quoted(quoted: &str) -> Option<(SecretValue, &str)> {
    // Full capacity from the start: a string that grows leaves its old contents in memory.
    let mut value = String::with_capacity(quoted.len());
    let mut rest = quoted;
    loop {
        let (part, tail) = rest.split_once('\'')?;
        value.push_str(part);
        match tail.strip_prefix(r"\''") {
            Some(tail) => {
                value.push('\'');
                rest = tail;
            }
            None => return Some((SecretValue::new(value), tail)),
        }
    }
}
