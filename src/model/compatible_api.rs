//! The APIs that are compatible with those of other products.

/// An API that is compatible with that of another product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompatibleApi {
    /// The Vault-compatible API.
    Vault,
}

impl CompatibleApi {
    /// The word in audit events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "vault",
        }
    }
}
