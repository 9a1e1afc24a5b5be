//! The merged keys and values one decision grants.

use super::secret::SecretValue;
use std::collections::BTreeMap;

/// What a ticket holds: the values under their final names, in bytewise order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The values by their final names.
    pub entries: BTreeMap<String, Entry>,
    /// Whether a store could not be reached and an older value was served in its place.
    pub stale: bool,
    /// A keyed digest of the secret versions served, in hex; the same for the same versions.
    pub versions: String,
}

/// One value of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value; where `is_base64`, as base64 text of its bytes.
    pub value: SecretValue,
    /// Whether a policy writes this very name, in `keys` or as a `rename` target:
    /// only then may a name that owns a shell (`PATH`, `LD_PRELOAD`, ...) be rendered for one.
    pub named_by_policy: bool,
    /// Whether the value is any bytes, kept as base64 text (RFC 4648, with padding and nothing between).
    pub is_base64: bool,
}
