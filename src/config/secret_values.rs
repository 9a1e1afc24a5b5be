//! `values` of a cloud store: how the text of one of its secrets becomes keys and values.

use super::check::Check;

/// The form of a secret's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretValues {
    /// One JSON object: its members are the keys and values.
    Object,
    /// One value. Its key is the last segment of the path.
    Text,
}

pub(super) fn check(at: &str, value: Option<String>, check: &mut Check) -> Option<SecretValues> {
    check.word(at, value, &[("object", SecretValues::Object), ("text", SecretValues::Text)])
}
