//! `NAME="value"`, `NAME='value'`, `` NAME=`value` `` and `NAME=value` lines, as `dotenv` and `dotenv-expand` have them.

use super::values::{Values, end_line};
use crate::model::secret::SecretValue;

/// Parses the lines.
pub fn read(text: &str) -> Option<Values> {
    let mut values = Values::new();
    let mut rest = text;
    while !rest.is_empty() && !rest.starts_with('#') {
        let (name, behind) = rest.split_once('=')?;
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || !name.bytes().all(is_name) {
            return None;
        }
        let (value, behind) = if let Some(quoted) = behind.strip_prefix('"') {
            let (value, behind) = quoted.split_once('"')?;
            (value.replace("\\n", "\n").replace("\\r", "\r"), behind)
        } else if let Some(quoted) = behind.strip_prefix('\'') {
            let (value, behind) = quoted.split_once('\'')?;
            (value.to_owned(), behind)
        } else if let Some(quoted) = behind.strip_prefix('`') {
            let (value, behind) = quoted.split_once('`')?;
            (value.to_owned(), behind)
        } else {
            let end = behind.find('\n')?;
            (behind[..end].to_owned(), &behind[end..])
        };
        // In `dotenv` no value has `\$`, and in `dotenv-expand` every `$` is escaped.
        values.push((name.to_owned(), SecretValue::new(value.replace(r"\$", "$"))));
        rest = behind.strip_prefix('\n')?;
    }
    end_line(rest, values.len()).map(|()| values)
}
