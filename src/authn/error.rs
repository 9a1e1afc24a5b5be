//! Why a bearer token is not accepted, and why an authenticator cannot be asked.

use super::discovery::FetchFault;
use crate::cluster::ClusterError;
use crate::config::authenticators as config;

/// Why nobody vouches for a bearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthnError {
    /// The token is bad: malformed, expired, for another audience, of a pod that is gone or finished, ...
    #[error("the token was refused: {}", .0.as_str())]
    Refused(Refusal),
    /// The token is good but not bound to a pod.
    #[error("the token is not bound to a pod")]
    NotPodBound,
    /// The token was not reviewed: its address has failures, and no review is spare now.
    #[error("the token was not reviewed, because its address has shown refused ones")]
    Limited,
    /// The token names a key that the issuer did not have a moment ago, and it is too early to ask again.
    #[error("the token names a key that is not known, and it is too early to ask for it")]
    UnknownKey,
    /// The API server or the issuer cannot be asked now, so that nobody knows.
    #[error("the token could not be reviewed")]
    Unavailable,
}

/// Why whoever must be asked about tokens cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CannotAsk {
    /// An API server.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// An issuer.
    #[error(transparent)]
    Issuer(#[from] FetchFault),
    /// The API server takes the broker's own credentials for this audience.
    #[error("kubernetes.audience {}", config::OF_API_SERVER)]
    OwnAudience,
}

/// Why a token was refused, for the audit event; the caller learns only that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// Not a JWT, or one with an algorithm that nobody here takes.
    Malformed,
    /// For another audience.
    WrongAudience,
    /// From an issuer that no authenticator is configured for.
    UnknownIssuer,
    /// Expired, or not valid yet.
    Expired,
    /// The signature, or the API server's word, is against it.
    NotAuthenticated,
    /// The pod is gone or replaced, finished, being deleted, or runs under another ServiceAccount.
    PodGone,
}

impl Refusal {
    /// The word in the audit event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_token",
            Self::WrongAudience => "wrong_audience",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Expired => "token_expired",
            Self::NotAuthenticated => "not_authenticated",
            Self::PodGone => "pod_gone",
        }
    }

    /// Whether the token was refused for its shape or its own words, without a call and without a look at its signature.
    #[must_use]
    pub const fn is_by_shape(self) -> bool {
        match self {
            Self::Malformed | Self::WrongAudience | Self::UnknownIssuer | Self::Expired => true,
            Self::NotAuthenticated | Self::PodGone => false,
        }
    }
}
