//! The API of a request, if it is not the native one.

/// An API other than the native one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Via {
    /// The Vault-compatible API.
    Vault,
}

impl Via {
    /// The word in audit events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "vault",
        }
    }
}
