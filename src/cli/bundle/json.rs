//! One object of strings.

use super::values::Values;
use crate::model::secret::SecretValue;
use std::collections::BTreeMap;

/// Parses the object.
pub fn read(text: &str) -> Option<Values> {
    let values: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
    Some(values.into_iter().map(|(name, value)| (name, SecretValue::new(value))).collect())
}
