//! Parses the lines of `dotenv` and `dotenv-expand`: `NAME="value"`, `NAME='value'`, `` NAME=`value` `` and `NAME=value`.

use super::values::{Values, check_end_line};
use crate::model::secret::SecretValue;

/// Parses the lines. `None` if they are not exactly as the server renders them.
pub fn parse(text: &str) -> Option<Values> {
    let mut values = Values::new();
    let mut rest = text;
    while !rest.is_empty() && !rest.starts_with('#') {
        let (name, tail) = rest.split_once('=')?;
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || !name.bytes().all(is_name) {
            return None;
        }
        let (value, tail) = if let Some(quoted) = tail.strip_prefix('"') {
            let (value, tail) = quoted.split_once('"')?;
            (value.replace("\\n", "\n").replace("\\r", "\r"), tail)
        } else if let Some(quoted) = tail.strip_prefix('\'') {
            let (value, tail) = quoted.split_once('\'')?;
            (value.to_owned(), tail)
        } else if let Some(quoted) = tail.strip_prefix('`') {
            let (value, tail) = quoted.split_once('`')?;
            (value.to_owned(), tail)
        } else {
            let end = tail.find('\n')?;
            (tail[..end].to_owned(), &tail[end..])
        };
        // No value of `dotenv` has `\$`; `dotenv-expand` escapes every `$`.
        values.push((name.to_owned(), SecretValue::new(value.replace(r"\$", "$"))));
        rest = tail.strip_prefix('\n')?;
    }
    check_end_line(rest, values.len()).map(|()| values)
}
