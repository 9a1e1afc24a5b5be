//! The audit event, and the errors of writing one.

use crate::database;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::caller::Caller;
use crate::model::compatible_api::CompatibleApi;
use crate::model::repo::Repo;
use crate::model::request_id::RequestId;
use crate::model::secret_ref::SecretVersion;
use crate::model::shadow::ShadowVerdict;
use crate::model::ticket::TicketId;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Maximum length of a repo or branch, in bytes, in the event of a request that was refused or failed.
const MAX_REFUSED_NAME: usize = 128;

/// An audit event. Its fields are typed, so none can hold a secret.
#[derive(Debug, Clone)]
pub struct Event {
    /// The kind of event.
    pub kind: EventType,
    /// The outcome of the verb.
    pub outcome: Outcome,
    /// The reason, one of a closed set of words.
    pub reason: Option<&'static str>,
    /// The identity that the bearer token proved.
    pub caller: Option<Arc<Caller>>,
    /// The client's address.
    pub source_ip: Option<IpAddr>,
    /// The requested repo.
    pub repo: Option<Repo>,
    /// The requested branch.
    pub branch: Option<Branch>,
    /// The policies that allowed or denied the request.
    pub policies: Vec<Arc<str>>,
    /// The names of the keys in the bundle.
    pub keys: Arc<[String]>,
    /// The public id of the ticket.
    pub ticket_id: Option<TicketId>,
    /// The secrets that were read, with their versions.
    pub secrets: Arc<[SecretVersion]>,
    /// The ID that the broker assigned to the request.
    pub request_id: Option<RequestId>,
    /// The request ID that the client sent.
    pub client_request_id: Option<String>,
    /// The trace that the request belongs to.
    pub trace_id: Option<Arc<str>>,
    /// The API that the request used; `None` for the native one.
    pub via: Option<CompatibleApi>,
    /// The duration of the verb.
    pub took: Duration,
    /// The number of events that this one stands for, if it was aggregated.
    pub count: Option<u64>,
    /// The policies in shadow mode that apply to the request.
    pub shadow: Vec<ShadowVerdict>,
}

impl Event {
    /// An event without details.
    #[must_use]
    pub fn new(kind: EventType, outcome: Outcome) -> Self {
        Self {
            kind,
            outcome,
            reason: None,
            caller: None,
            source_ip: None,
            repo: None,
            branch: None,
            policies: Vec::new(),
            keys: Arc::default(),
            ticket_id: None,
            secrets: Arc::default(),
            request_id: None,
            client_request_id: None,
            trace_id: None,
            via: None,
            took: Duration::ZERO,
            count: None,
            shadow: Vec::new(),
        }
    }

    /// The repo as it is recorded: truncated if the request was refused or failed.
    pub(crate) fn recorded_repo(&self) -> Option<Cow<'_, str>> {
        self.repo.as_ref().map(|repo| self.recorded_name(repo.as_str()))
    }

    /// The branch as it is recorded: truncated if the request was refused or failed.
    pub(crate) fn recorded_branch(&self) -> Option<Cow<'_, str>> {
        self.branch.as_ref().map(|branch| self.recorded_name(branch.as_str()))
    }

    /// Truncates a long name, with an ellipsis, unless the outcome is ok: a caller that is refused can choose any name.
    fn recorded_name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.outcome == Outcome::Ok || name.len() <= MAX_REFUSED_NAME {
            return name.into();
        }
        Cow::Owned(format!("{}\u{2026}", &name[..name.floor_char_boundary(MAX_REFUSED_NAME)]))
    }
}

/// The event is not durable. Nothing that it records may be released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct AuditUnavailable;

/// The event and its step are not durable, or it is unknown whether they are. `Rejected` returns the event whose step was rejected.
pub type EventCommitError<R> = database::CommitError<R, AuditUnavailable>;

impl<R> From<EventCommitError<R>> for AuditUnavailable {
    fn from(_: EventCommitError<R>) -> Self {
        Self
    }
}
