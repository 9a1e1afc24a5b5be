//! How a store encodes a value, and which callers share a lease.

/// The encoding of a value in a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Text, unchanged.
    #[default]
    Plain,
    /// Base64 text of the bytes.
    Base64,
}

impl Encoding {
    /// The word in policies. `None` for plain text.
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Base64 => Some("base64"),
        }
    }
}

/// Which callers share a dynamic secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum LeaseMode {
    /// Each caller has its own.
    #[default]
    PerPod,
    /// All callers that are granted it share one.
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
