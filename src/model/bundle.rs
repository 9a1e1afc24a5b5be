//! The merged keys and values that one decision grants.

use super::secret::SecretValue;
use std::collections::BTreeMap;

/// The content of a ticket: values by their final names, in bytewise order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The values by their final names.
    pub entries: BTreeMap<String, Entry>,
    /// Whether a value is stale: a store was unreachable, and an older value was served.
    pub stale: bool,
    /// A keyed digest of the secret versions, in hexadecimal. Equal versions have equal digests.
    pub versions: String,
}

/// One value of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value. If `is_base64`, base64 text of its bytes.
    pub value: SecretValue,
    /// Whether a policy contains exactly this name, in `keys` or as a `rename` target. Only then are names that
    /// control a shell (`PATH`, `LD_PRELOAD`, ...) rendered for one.
    pub named_by_policy: bool,
    /// Whether the value is arbitrary bytes, kept as base64 text (RFC 4648, padded, without line breaks).
    pub is_base64: bool,
}
