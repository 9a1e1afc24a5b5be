//! Why a bearer token is not accepted, and why an authenticator cannot be reached.

use super::discovery::FetchFault;
use crate::cluster::ClusterError;
use crate::config::authenticators as config;
use crate::model::caller::Caller;
use std::sync::Arc;

/// Why a caller is not authenticated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthnError {
    /// The token is refused.
    #[error("the token was refused: {}", .0.as_str())]
    Refused(TokenRefusal),
    /// The token of this caller is valid but not bound to a pod, and not admitted without one.
    #[error("the token is not bound to a pod")]
    NotPodBound(Arc<Caller>),
    /// The token was not reviewed: its address has failures, and the limit of reviews is reached.
    #[error("the token was not reviewed, because its address has shown refused ones")]
    Limited,
    /// The token names an unknown key, and the issuer's keys were fetched too recently to fetch them again.
    #[error("the token names a key that is not known, and it is too early to ask for it")]
    UnknownKey,
    /// The API server or the issuer gives no usable answer.
    #[error("the token could not be reviewed")]
    Unavailable,
}

/// Why an authenticator's online check fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CannotAsk {
    /// The API server cannot be reached.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The issuer's keys cannot be fetched.
    #[error(transparent)]
    Issuer(#[from] FetchFault),
    /// The API server accepts the broker's own credentials for the configured audience.
    #[error("kubernetes.audience {}", config::AUDIENCE_OF_API_SERVER)]
    OwnAudience,
    /// The same for the audience of tokens that are bound to no pod.
    #[error("kubernetes.unboundAudience {}", config::AUDIENCE_OF_API_SERVER)]
    OwnUnboundAudience,
}

/// Why a token is refused, for the audit event. The caller is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenRefusal {
    /// Not a JWT, or its algorithm is not supported.
    Malformed,
    /// It has another audience.
    WrongAudience,
    /// No authenticator has its issuer.
    UnknownIssuer,
    /// It is expired or not yet valid.
    Expired,
    /// Its signature is invalid, or the API server rejects it.
    NotAuthenticated,
    /// Its pod is gone, replaced, finished, being deleted, or runs under another ServiceAccount.
    PodGone,
}

impl TokenRefusal {
    /// The reason in the audit event.
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

    /// Whether the token was refused for its form or its claims, without a call and without a check of its signature.
    #[must_use]
    pub const fn is_by_shape(self) -> bool {
        match self {
            Self::Malformed | Self::WrongAudience | Self::UnknownIssuer | Self::Expired => true,
            Self::NotAuthenticated | Self::PodGone => false,
        }
    }
}
