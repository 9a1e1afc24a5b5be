//! Why an API server was asked in vain.

use crate::trust::ConnectFailure;

/// Why the API server was asked in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ClusterError {
    /// Nobody knows the answer; asking later may help.
    #[error("the API server gave no usable answer: {}", .0.sentence())]
    Unavailable(CallFailure),
}

/// What went wrong, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallFailure {
    /// Too many calls were under way already; nothing was sent.
    Busy,
    /// No whole answer in time.
    Timeout,
    /// No connection, or no TLS on it, for a reason that is known.
    Unconnected(ConnectFailure),
    /// No connection for another reason, or one that broke.
    Connection,
    /// The broker's own credentials are bad, or its RBAC is too narrow (401, 403).
    Credentials,
    /// The API server is overloaded or broken (429, 5xx).
    Overloaded,
    /// A status that makes no sense here.
    Status,
    /// An answer that is not what the API promises.
    Malformed,
    /// An answer longer than such an answer can be.
    TooLarge,
}

impl CallFailure {
    /// The word in the log.
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

    /// The same for a person.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Unconnected(failure) => failure.sentence(),
            _ => self.as_str(),
        }
    }
}

impl From<CallFailure> for ClusterError {
    fn from(trouble: CallFailure) -> Self {
        Self::Unavailable(trouble)
    }
}
