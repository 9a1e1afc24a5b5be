//! The values of a parsed bundle, and the check of its last line.

use crate::model::secret::SecretValue;

/// Names and values, in the order of the file.
pub type Values = Vec<(String, SecretValue)>;

/// `None` unless the rest of a bundle is the line with the number of keys, or is empty if there are no keys.
pub fn check_end_line(rest: &str, key_count: usize) -> Option<()> {
    let is_end = if key_count == 0 { rest.is_empty() } else { rest == format!("# claviger: {key_count} keys\n") };
    is_end.then_some(())
}

/// `None` if the name is empty, or has a character that no shell variable has.
pub fn check_name(name: &str) -> Option<()> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (!name.is_empty() && name.bytes().all(is_name)).then_some(())
}
