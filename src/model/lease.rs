//! A secret as a store gave it.

use super::secret::SecretValue;
use std::collections::BTreeMap;

/// A secret read from a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The values by the store's own key names. Numbers and booleans are their JSON text, digit for digit, objects and
    /// arrays compact JSON; a JSON null is `None`.
    pub data: BTreeMap<String, Option<SecretValue>>,
    /// The store's version of the secret, where it counts versions. No secret.
    pub version: Option<String>,
    /// Whether the store could not be reached and this is an older answer of its.
    pub stale: bool,
}
