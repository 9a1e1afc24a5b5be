//! The keys and values of a secret that a cloud stores as one text.

use super::port::ReadError;
use super::store_path::StorePath;
use super::values::{into_secret_value, parse_values};
use crate::config::value_format::ValueFormat;
use crate::model::secret::SecretValue;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Parses the keys and values of a text. As [`ValueFormat::Text`] the whole text is one value, and its key is the last segment
/// of the path.
///
/// # Errors
/// `Misconfigured` if the text does not have the configured form. A text with a NUL has neither form.
pub(super) fn parse_keys_and_values(
    text: Zeroizing<String>,
    form: ValueFormat,
    path: &StorePath,
) -> Result<BTreeMap<String, Option<SecretValue>>, ReadError> {
    match form {
        ValueFormat::Object => {
            let object = serde_json::from_str(&text).map_err(|_| ReadError::Misconfigured)?;
            parse_values(object).map_err(|_| ReadError::Misconfigured)
        }
        ValueFormat::Text if text.contains('\0') => Err(ReadError::Misconfigured),
        ValueFormat::Text => {
            let key = path.as_str().rsplit('/').next().unwrap_or_default().to_owned();
            Ok([(key, Some(into_secret_value(text)))].into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the test compares the values")]
    fn read(text: &str, form: ValueFormat) -> Result<Vec<(String, Option<String>)>, ReadError> {
        let path = StorePath::try_from("homelab/npm-token").unwrap();
        let read = parse_keys_and_values(Zeroizing::new(text.to_owned()), form, &path)?;
        Ok(read.into_iter().map(|(key, value)| (key, value.map(|value| value.expose_secret().to_owned()))).collect())
    }

    #[test]
    fn an_object_has_several_values_and_a_text_is_one_value() {
        let one = |key: &str, value: &str| Ok(vec![(key.to_owned(), Some(value.to_owned()))]);
        assert_eq!(read(r#" {"K": 1.50} "#, ValueFormat::Object), one("K", "1.50"));
        assert_eq!(read(r#"{"K":null}"#, ValueFormat::Object), Ok(vec![("K".into(), None)]));
        assert_eq!(read(r#"{"K":1}"#, ValueFormat::Text), one("npm-token", r#"{"K":1}"#));
        assert_eq!(read("a\nb\r\n", ValueFormat::Text), one("npm-token", "a\nb\r\n"));
        assert_eq!(read("", ValueFormat::Text), one("npm-token", ""));
    }

    #[test]
    fn text_without_the_configured_form_is_misconfigured() {
        for text in ["", "hunter2", "[]", "\"x\"", r#"{"K":1,"K":2}"#, r#"{"K":"#, "{}x"] {
            assert_eq!(read(text, ValueFormat::Object), Err(ReadError::Misconfigured), "{text}");
        }
        assert_eq!(read("a\0b", ValueFormat::Text), Err(ReadError::Misconfigured));
    }
}
