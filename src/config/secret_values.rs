//! `values` of a cloud store: how the text of a secret becomes keys and values.

use super::fault_collector::FaultCollector;

/// How the text of a secret becomes keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretValues {
    /// The text is a JSON object, whose members are the keys and values.
    Object,
    /// The text is one value, whose key is the last segment of the path.
    Text,
}

pub(super) fn validate(pointer: &str, value: Option<String>, faults: &mut FaultCollector) -> Option<SecretValues> {
    faults.require_one_of(pointer, value, &[("object", SecretValues::Object), ("text", SecretValues::Text)])
}
