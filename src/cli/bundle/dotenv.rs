//! Parses the lines of `dotenv` and `dotenv-expand`: `NAME="value"`, `NAME='value'`, `` NAME=`value` `` and `NAME=value`.

use super::values::{Values, check_end_line, check_name};
use crate::model::secret::SecretValue;

/// Parses the lines. `None` if they are not exactly as the server renders them.
pub fn parse(text: &str) -> Option<Values> {
    let mut values = Values::new();
    let mut rest = text;
    while !rest.is_empty() && !rest.starts_with('#') {
        let (name, tail) = rest.split_once('=')?;
        check_name(name)?;
        let quote = tail.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'));
        let (value, tail) = match quote {
            Some(quote) => tail[1..].split_once(quote)?,
            None => tail.split_at(tail.find('\n')?),
        };
        let value = if quote == Some('"') { value.replace("\\n", "\n").replace("\\r", "\r") } else { value.to_owned() };
        // Right for both formats: no value of `dotenv` has `\$`, and `dotenv-expand` escapes every `$`.
        values.push((name.to_owned(), SecretValue::new(value.replace(r"\$", "$"))));
        rest = tail.strip_prefix('\n')?;
    }
    check_end_line(rest, values.len()).map(|()| values)
}
