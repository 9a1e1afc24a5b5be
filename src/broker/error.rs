//! The error of a verb: a code, and for some codes a detail for the client. The cause is in the audit event or the log.

use crate::audit::AuditUnavailable;
use crate::document::Fault;
use crate::model::branch::ParseBranchError;
use crate::model::repo::ParseRepoError;
use crate::policy::{DraftError, PolicyStoreError};
use crate::render::{self, UnrenderableKey};
use crate::stores::{EngineMismatch, FetchError, ReadError};
use crate::wire::problem::{Code, ProblemError};
use jiff::Timestamp;

/// Why a verb failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request is invalid, for this reason.
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error(transparent)]
    InvalidRepo(#[from] ParseRepoError),
    #[error(transparent)]
    InvalidBranch(#[from] ParseBranchError),
    /// The format cannot represent a key.
    #[error(transparent)]
    Unrenderable(UnrenderableKey),
    /// A policy uses a path in a way that its secrets engine does not support.
    #[error(transparent)]
    EngineMismatch(EngineMismatch),
    /// A policy has `encoding: base64`, and a value is not base64.
    #[error("the value of the key {key:?} is not base64, as the policy's encoding says")]
    NotBase64 {
        /// The key's name in the store.
        key: String,
    },
    /// The token of a login is valid for less than 30 s.
    #[error("The token is valid for less than 30 s.")]
    ExpiresSoon,
    #[error("{}", Code::TicketRedeemed.title())]
    TicketRedeemed { at: Timestamp },
    /// It is not known whether a ticket was consumed. The connection is closed without a response.
    #[error("the audit log does not answer")]
    OutcomeUnknown,
    /// All faults of a document in the request.
    #[error("{}", .0.title())]
    Faults(Code, Vec<Fault>),
    /// A code without further detail.
    #[error("{}", .0.title())]
    Plain(Code),
}

impl Error {
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::InvalidRequest(_) => Code::InvalidRequest,
            Self::InvalidRepo(_) => Code::InvalidRepo,
            Self::InvalidBranch(_) => Code::InvalidBranch,
            Self::Unrenderable(_) => Code::Unrenderable,
            Self::EngineMismatch(_) | Self::NotBase64 { .. } => Code::StoreMisconfigured,
            Self::TicketRedeemed { .. } => Code::TicketRedeemed,
            Self::ExpiresSoon => Code::Unauthenticated,
            Self::OutcomeUnknown => Code::AuditUnavailable,
            Self::Faults(code, _) | Self::Plain(code) => *code,
        }
    }

    /// The `detail` of the problem response. `None` if the code says everything.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::TicketRedeemed { .. } | Self::OutcomeUnknown | Self::Faults(..) | Self::Plain(_) => None,
            other => Some(other.to_string()),
        }
    }

    /// The faults of a document in the request. Empty for other errors.
    #[must_use]
    pub fn errors(&self) -> Vec<ProblemError> {
        let Self::Faults(_, faults) = self else { return Vec::new() };
        let error = |fault: &Fault| ProblemError { pointer: fault.pointer.clone(), detail: fault.detail.clone() };
        faults.iter().map(error).collect()
    }
}

impl From<Code> for Error {
    fn from(code: Code) -> Self {
        Self::Plain(code)
    }
}

impl From<AuditUnavailable> for Error {
    fn from(_: AuditUnavailable) -> Self {
        Self::Plain(Code::AuditUnavailable)
    }
}

impl From<render::RenderError> for Error {
    fn from(refused: render::RenderError) -> Self {
        match refused {
            render::RenderError::Unrenderable(unrenderable) => Self::Unrenderable(unrenderable),
            render::RenderError::NoSuchKey => Self::Plain(Code::SecretNotFound),
            render::RenderError::SeveralKeys => Self::InvalidRequest(
                "raw holds one key, and the bundle has several: name it (key= of a download, keys of a request)",
            ),
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::Plain(match error {
            ReadError::EngineMismatch(mismatch) => return Self::EngineMismatch(mismatch),
            ReadError::Absent | ReadError::Deleted => Code::SecretNotFound,
            ReadError::Misconfigured => Code::StoreMisconfigured,
            ReadError::Forbidden => Code::StoreForbidden,
            ReadError::Unavailable => Code::StoreUnavailable,
        })
    }
}

impl From<FetchError> for Error {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Store(error) => error.into(),
            FetchError::Unrecorded => Self::Plain(Code::AuditUnavailable),
            FetchError::NoPod => Self::Plain(Code::NotPodBound),
        }
    }
}

impl From<DraftError> for Error {
    fn from(error: DraftError) -> Self {
        match error {
            DraftError::IllFormed(fault) => Self::Faults(Code::InvalidRequest, vec![fault]),
            DraftError::NameMismatch => Self::InvalidRequest("the body names another policy than the path"),
            DraftError::Invalid(faults) => Self::Faults(Code::InvalidPolicy, faults),
        }
    }
}

impl From<PolicyStoreError> for Error {
    fn from(error: PolicyStoreError) -> Self {
        Self::Plain(match error {
            PolicyStoreError::AlreadyExists => Code::AlreadyExists,
            PolicyStoreError::NotFound => Code::NotFound,
            PolicyStoreError::PreconditionFailed => Code::PreconditionFailed,
            PolicyStoreError::ReadOnly => Code::ReadOnly,
            PolicyStoreError::Unavailable => Code::DatabaseUnavailable,
        })
    }
}
