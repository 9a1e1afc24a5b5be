//! Why a bearer token is not accepted, and why an authenticator cannot be reached.

use super::discovery::KeyFetchError;
use crate::cluster::CallFailure;
use crate::config::authenticators as config;
use crate::model::caller::Caller;
use std::sync::Arc;

/// Why a caller is not authenticated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthnError {
    /// The token is refused.
    #[error("the token was refused: {}", .0.as_str())]
    Refused(TokenRefusal),
    /// The caller's token is valid but bound to no pod, and the configuration does not admit such tokens for it.
    #[error("the token is not bound to a pod")]
    NotPodBound(Arc<Caller>),
    /// The token was not reviewed: no review was free in time for the client's address, which has sent refused tokens or more than
    /// its share of new ones.
    #[error("the token was not reviewed, because no review was free for its client's address")]
    Limited,
    /// The token names an unknown key, and the issuer's keys were fetched too recently to fetch them again. The issuer may have
    /// published the key since, so this is no refusal, and the client may retry.
    #[error("the token names an unknown key, and the issuer's keys were fetched too recently to fetch them again")]
    UnknownKey,
    /// The call to the API server or to the issuer failed.
    #[error("the token could not be reviewed")]
    Unavailable,
}

/// Why an authenticator's online check fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OnlineCheckError {
    /// The API server cannot be reached.
    #[error(transparent)]
    Cluster(#[from] CallFailure),
    /// The issuer's keys cannot be fetched.
    #[error(transparent)]
    Issuer(#[from] KeyFetchError),
    /// The configured audience is one of the API server's own: the API server accepts the broker's own credentials for it.
    #[error("kubernetes.audience {}", config::API_SERVER_AUDIENCE_FAULT)]
    ApiServerAudience,
    /// Like [`Self::ApiServerAudience`], for the audience of tokens that are bound to no pod.
    #[error("kubernetes.unboundAudience {}", config::API_SERVER_AUDIENCE_FAULT)]
    ApiServerUnboundAudience,
}

closed_enum! {
    /// Why a token is refused. Only the audit event contains the reason; the client does not get it.
    pub enum TokenRefusal {
        /// The token is not a JWT with the required claims, or its algorithm is not supported.
        Malformed => "malformed_token",
        /// The token has another audience.
        WrongAudience => "wrong_audience",
        /// No authenticator has the token's issuer.
        UnknownIssuer => "unknown_issuer",
        /// The token is expired or not yet valid.
        Expired => "token_expired",
        /// The signature is invalid, or the API server rejects the token.
        NotAuthenticated => "not_authenticated",
        /// The token's pod is gone, replaced, finished, being deleted, or runs under another ServiceAccount.
        PodGone => "pod_gone",
    }
}

impl TokenRefusal {
    /// Whether this reason lies in the form or the claims of a token, which are usually checked before the signature and before any
    /// call.
    #[must_use]
    pub const fn is_before_signature_check(self) -> bool {
        match self {
            Self::Malformed | Self::WrongAudience | Self::UnknownIssuer | Self::Expired => true,
            Self::NotAuthenticated | Self::PodGone => false,
        }
    }
}
