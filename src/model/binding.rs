//! Which client may redeem a ticket.

closed_enum! {
    /// What the redeeming client must have in common with the caller of the ticket. Ordered from least to most strict, so the maximum
    /// of several values is the strictest.
    pub enum BindTo {
        /// Nothing: any client with the URL may redeem.
        None => "none",
        /// The same source address.
        Ip => "ip",
        /// The same pod uid, or for OIDC callers the same issuer, subject and `jti`.
        Identity => "identity",
    }
}

impl std::str::FromStr for BindTo {
    type Err = ParseBindToError;

    fn from_str(text: &str) -> Result<Self, ParseBindToError> {
        Self::from_name(text).ok_or(ParseBindToError)
    }
}

/// The text is none of `none`, `ip`, `identity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of none, ip, identity")]
pub struct ParseBindToError;
