//! 1. Who are you: a bearer token becomes a caller.

use crate::model::caller::Caller;
use crate::model::secret::SecretValue;
use async_trait::async_trait;
use std::sync::Arc;

/// Turns a bearer token into a caller, or says why not.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// The configured name: the issuer of the callers it vouches for.
    fn name(&self) -> &Arc<str>;

    /// Vouches for the bearer of a token.
    ///
    /// # Errors
    /// See [`AuthnError`].
    async fn authenticate(&self, bearer: &SecretValue) -> Result<Arc<Caller>, AuthnError>;
}

/// Why nobody vouches for a bearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthnError {
    /// The token is bad: malformed, expired, for another audience, of a pod that is gone or finished, ...
    #[error("the token was refused: {}", .0.as_str())]
    Refused(Refusal),
    /// The token is good but not bound to a pod.
    #[error("the token is not bound to a pod")]
    NotPodBound,
    /// The API server cannot be reached, so that nobody knows.
    #[error("the token could not be reviewed")]
    Unavailable,
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
}
