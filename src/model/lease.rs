//! A secret as a store gave it, and whether others get the same.

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

/// In what a store keeps a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As it is.
    #[default]
    Plain,
    /// As base64 text of its bytes.
    Base64,
}

impl Encoding {
    /// The word in policies; what is plain has none.
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Base64 => Some("base64"),
        }
    }
}

/// Who else gets what a store makes on request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum LeaseMode {
    /// Nobody: each caller has one of its own.
    #[default]
    PerPod,
    /// Every caller that is granted it.
    Shared,
}

impl LeaseMode {
    /// The word in policies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PerPod => "perPod",
            Self::Shared => "shared",
        }
    }
}

/// The text is neither `perPod` nor `shared`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be perPod or shared")]
pub struct NotALeaseMode;

impl std::str::FromStr for LeaseMode {
    type Err = NotALeaseMode;

    fn from_str(text: &str) -> Result<Self, NotALeaseMode> {
        [Self::PerPod, Self::Shared].into_iter().find(|mode| mode.as_str() == text).ok_or(NotALeaseMode)
    }
}
