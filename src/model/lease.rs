//! Properties of a secret in a policy: the encoding of its values, and who shares its lease.

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
    /// The word in policies. `None` for plain text, which is the default.
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Base64 => Some("base64"),
        }
    }
}

closed_enum! {
    /// Which callers share the lease of a dynamic secret. Names as in policies.
    #[derive(Default)]
    pub enum LeaseMode {
        /// Each caller has its own lease.
        #[default]
        PerPod => "perPod",
        /// All callers that are granted the secret share one lease.
        Shared => "shared",
    }
}
