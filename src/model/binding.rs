//! Which client may redeem a ticket.

/// What the redeeming client must have in common with the caller of the ticket. Ordered from least to most strict, so the maximum
/// of several values is the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BindTo {
    /// Nothing: any client with the URL may redeem.
    None,
    /// The same source address.
    Ip,
    /// The same pod uid, or for OIDC callers the same issuer, subject and `jti`.
    Identity,
}

impl BindTo {
    /// The word used in policies and in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ip => "ip",
            Self::Identity => "identity",
        }
    }
}

impl std::str::FromStr for BindTo {
    type Err = ParseBindToError;

    fn from_str(text: &str) -> Result<Self, ParseBindToError> {
        match text {
            "none" => Ok(Self::None),
            "ip" => Ok(Self::Ip),
            "identity" => Ok(Self::Identity),
            _ => Err(ParseBindToError),
        }
    }
}

/// The text is none of `none`, `ip`, `identity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of none, ip, identity")]
pub struct ParseBindToError;
