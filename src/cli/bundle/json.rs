//! Parses the format `json`: one object of strings.

use super::values::Values;
use crate::model::secret::SecretValue;
use std::collections::BTreeMap;

/// Parses the object. `None` if the text is not an object of strings.
pub fn parse(text: &str) -> Option<Values> {
    let values: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
    Some(values.into_iter().map(|(name, value)| (name, SecretValue::new(value))).collect())
}
