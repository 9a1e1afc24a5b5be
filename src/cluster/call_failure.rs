//! The error of a call to an API server.

use crate::trust::ConnectFailure;

/// Why a call to an API server failed. A later attempt may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[error("the call to the API server failed: {}", self.sentence())]
pub enum CallFailure {
    /// The limit of this process on concurrent calls was reached. Nothing was sent.
    CallLimit,
    /// No complete response before the deadline.
    Timeout,
    /// No connection or no TLS session, with a known cause.
    Unconnected(ConnectFailure),
    /// The connection broke, or there was none for an unknown cause.
    ConnectionLost,
    /// The broker's own credentials are invalid, or its RBAC permissions are too narrow (401, 403).
    Credentials,
    /// The API server is overloaded or failing (429, 5xx).
    Overloaded,
    /// A status that the API does not define for this call.
    Status,
    /// A body that does not follow the API.
    Malformed,
    /// A body above the size limit.
    TooLarge,
}

impl CallFailure {
    /// The value of the log field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CallLimit => "busy",
            Self::Timeout => "timeout",
            Self::Unconnected(failure) => failure.as_str(),
            Self::ConnectionLost => "connection",
            Self::Credentials => "credentials",
            Self::Overloaded => "overloaded",
            Self::Status => "status",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
        }
    }

    /// A clause for error messages.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::CallLimit => "too many calls of this process were in progress",
            Self::Timeout => "the response was not complete in time",
            Self::Unconnected(failure) => failure.sentence(),
            Self::ConnectionLost => "the connection failed",
            Self::Credentials => "the API server refused the broker's credentials or permissions (401 or 403)",
            Self::Overloaded => "the API server is overloaded or failing (429 or 5xx)",
            Self::Status => "the response has an unexpected status",
            Self::Malformed => "the response is malformed",
            Self::TooLarge => "the response is too large",
        }
    }
}
