//! The values of a bundle, and the line that ends it.

use crate::model::secret::SecretValue;

/// Names and values, in the order of the file.
pub type Values = Vec<(String, SecretValue)>;

/// Removes the line that counts the keys. It is required, unless there are no keys, and must be right.
pub fn end_line(rest: &str, keys: usize) -> Option<()> {
    let is_end = if keys == 0 { rest.is_empty() } else { rest == format!("# claviger: {keys} keys\n") };
    is_end.then_some(())
}
