//! The errors of calls to an API server.

use crate::trust::ConnectFailure;

/// Why a call to an API server gave no usable response. A later attempt may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[error("the API server gave no usable response: {}", self.sentence())]
pub enum CallFailure {
    /// Too many calls were in progress; nothing was sent.
    Busy,
    /// No complete response before the deadline.
    Timeout,
    /// No connection or no TLS session, with a known cause.
    Unconnected(ConnectFailure),
    /// No connection, with an unknown cause, or the connection broke.
    Connection,
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
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Unconnected(failure) => failure.as_str(),
            Self::Connection => "connection",
            Self::Credentials => "credentials",
            Self::Overloaded => "overloaded",
            Self::Status => "status",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
        }
    }

    /// A description for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Unconnected(failure) => failure.sentence(),
            _ => self.as_str(),
        }
    }
}
