//! The secret values that one decision grants, merged from all secrets that it reads.

use super::secret::SecretValue;
use std::collections::BTreeMap;

/// The content of a ticket.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The values by name, after renaming.
    pub entries: BTreeMap<String, Entry>,
    /// Whether a value is stale: its store was unreachable, so an older cached value is used.
    pub stale: bool,
    /// A keyed digest of the secret versions, in hexadecimal. Equal versions have equal digests.
    pub versions: String,
}

/// One value of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value, or its base64 text if `is_base64` is set.
    pub value: SecretValue,
    /// Whether a policy contains exactly this name, in `keys` or as a `rename` target. If not, a name that controls a shell
    /// (`PATH`, `LD_PRELOAD`, ...) is not rendered for a shell.
    pub named_by_policy: bool,
    /// Whether `value` is the base64 text of arbitrary bytes (RFC 4648, padded, without line breaks).
    pub is_base64: bool,
}

impl Entry {
    /// The length in bytes of the value as it is delivered.
    #[must_use]
    pub fn delivered_len(&self) -> usize {
        if self.is_base64 { self.value.base64_decoded_len() } else { self.value.len() }
    }
}
