//! 7. Record: an event becomes a durable link of a hash chain, before anything it speaks of is released.
//!
//! The database is the log; standard output is a copy of what is durable there. Nothing here can hold a secret:
//! an [`Event`] has typed fields only.

mod aggregated;
mod anchors;
mod by_column;
mod by_word;
mod chain;
mod checker;
mod checkpoint;
mod entry;
mod filter;
mod group;
mod keys;
mod known;
mod open_event;
mod pending;
mod reader;
mod refusals;
mod retention;
mod segments;
mod stdout;

mod writer;

use crate::database::{Database, Failed, Step};
use crate::metrics::Metrics;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::caller::Caller;
use crate::model::clock::Clock;
use crate::model::repo::Repo;
use crate::model::request_id::RequestId;
use crate::model::secret_ref::SecretVersion;
use crate::model::ticket::TicketId;
use futures_util::future::OptionFuture;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use pending::{Pending, Verdict};

pub use aggregated::Aggregated;
pub use checker::{Beginning, Broken, Checker, Verified};
pub use entry::Stored;
pub use filter::{Cursor, Filter};
pub use keys::ChainHasher;
pub use known::Known;
pub use open_event::{NotClosed, OpenEvent};
pub use reader::{Reader, Recorded};
pub use refusals::{ONE_BY_ONE, Refusals};
pub use retention::{Limits, Retention};

/// Events that wait for the writer; one more is refused.
const QUEUE: usize = 8192;
/// Bytes of a repo or branch in the event of a request that came to nothing.
const MAX_REFUSED_NAME: usize = 128;
/// How long an event may wait until the writer takes it, and then again until it is durable.
const PATIENCE: Duration = Duration::from_secs(5);

/// What happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// What it is about.
    pub kind: EventType,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, from a closed set of words.
    pub reason: Option<&'static str>,
    /// Who asked.
    pub caller: Option<Arc<Caller>>,
    /// Where the request came from.
    pub source_ip: Option<IpAddr>,
    /// What is built.
    pub repo: Option<Repo>,
    /// What is built.
    pub branch: Option<Branch>,
    /// The policies that decided.
    pub policies: Vec<String>,
    /// The names of the keys in the bundle.
    pub keys: Vec<String>,
    /// The ticket.
    pub ticket_id: Option<TicketId>,
    /// What was read.
    pub secrets: Vec<SecretVersion>,
    /// The request.
    pub request_id: Option<RequestId>,
    /// The caller's own id for it.
    pub client_request_id: Option<String>,
    /// The trace that the request belongs to, where it is traced.
    pub trace_id: Option<Arc<str>>,
    /// How long the verb took.
    pub took: Duration,
    /// How many like it this event stands for.
    pub count: Option<u64>,
}

impl Event {
    /// An event of which nothing more is known yet.
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
            keys: Vec::new(),
            ticket_id: None,
            secrets: Vec::new(),
            request_id: None,
            client_request_id: None,
            trace_id: None,
            took: Duration::ZERO,
            count: None,
        }
    }
}

impl Event {
    /// The repo as it is written.
    pub(crate) fn repo_written(&self) -> Option<Cow<'_, str>> {
        self.repo.as_ref().map(|repo| self.written(repo.as_str()))
    }

    /// The branch as it is written.
    pub(crate) fn branch_written(&self) -> Option<Cow<'_, str>> {
        self.branch.as_ref().map(|branch| self.written(branch.as_str()))
    }

    /// A caller who is refused chooses the names freely: long ones are cut, and end in an ellipsis.
    fn written<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.outcome == Outcome::Ok || name.len() <= MAX_REFUSED_NAME {
            return name.into();
        }
        Cow::Owned(format!("{}\u{2026}", &name[..name.floor_char_boundary(MAX_REFUSED_NAME)]))
    }
}

/// The event is not durable. What it speaks of must not be released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct AuditUnavailable;

/// An event and the step that goes with it are not durable.
#[derive(Debug, thiserror::Error)]
pub enum Undone {
    /// The step could not be done: things are not what they were taken for. The event comes back unwritten.
    #[error("the step could not be done")]
    Refused(Box<Event>),
    /// Nothing was done, and nothing will be.
    #[error("the audit log cannot be written")]
    Unavailable,
    /// Nobody knows yet whether it was done. Nothing may be released, and nothing said about what happened.
    #[error("the audit log does not answer")]
    Unknown,
}

impl From<Undone> for AuditUnavailable {
    fn from(_: Undone) -> Self {
        Self
    }
}

/// A handle on the one writer of this replica.
#[derive(Debug, Clone)]
pub struct AuditLog {
    queue: mpsc::Sender<Pending>,
    writable: Arc<AtomicBool>,
    reader: Reader,
    stdout: Option<Arc<stdout::Stdout>>,
}

impl AuditLog {
    /// Starts the writer: a new chain whose first event names the head of the chain before it. The writer ends when
    /// the last handle is gone and everything handed over is written.
    ///
    /// # Errors
    /// When the database cannot be asked for that head.
    pub async fn open(
        database: &Database,
        stdout: bool,
        hasher: ChainHasher,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, JoinHandle<()>), Failed> {
        let (queue, events) = mpsc::channel(QUEUE);
        let hasher = Arc::new(hasher);
        let stdout = stdout.then(|| Arc::new(stdout::Stdout::start()));
        let writer = writer::Writer::new(database.clone(), hasher.clone(), stdout.clone(), clock, metrics).await?;
        let reader = Reader::new(database.clone(), hasher, writer.heads());
        let writable = writer.writable();
        let checkpoints = stdout.clone().map(|stdout| checkpoint::tell(writer.heads(), move |line| stdout.copy(line)));
        let written = tokio::spawn(async move {
            // The writer tells its last head before it ends, and then there is one more checkpoint.
            tokio::join!(writer.run(events), OptionFuture::from(checkpoints));
        });
        Ok((Self { queue, writable, reader, stdout }, written))
    }

    /// What is written can be read without holding up who writes, and without keeping the writer from its end.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// What deletes events that are too old, or too many.
    #[must_use]
    pub fn retention(&self, limits: Limits, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Retention {
        Retention::new(self.clone(), limits, clock, metrics)
    }

    /// Makes an event durable.
    ///
    /// # Errors
    /// When it is not, or not in time; it may or may not be written then.
    pub async fn record(&self, event: Event) -> Result<(), AuditUnavailable> {
        Ok(self.commit(event, None).await?)
    }

    /// Makes an event durable, and in the same unit of work does the step that it speaks of.
    ///
    /// # Errors
    /// When they are not, both; see [`Undone`].
    pub async fn commit(&self, event: Event, step: Option<Step>) -> Result<(), Undone> {
        let (pending, mut verdict, claim) = Pending::waited_for(event, step);
        self.queue.try_send(pending).map_err(|_| Undone::Unavailable)?;
        if let Ok(verdict) = timeout(PATIENCE, &mut verdict).await {
            return told(verdict);
        }
        if claim.withdraw() {
            return Err(Undone::Unavailable);
        }
        // The writer is about it: what comes of it is worth waiting for.
        timeout(PATIENCE, verdict).await.map_or(Err(Undone::Unknown), told)
    }

    /// Hands an event over without waiting, for what releases nothing. Full queue: the event is logged as lost.
    pub fn record_later(&self, event: Event) {
        let kind = event.kind.as_str();
        if self.queue.try_send(Pending::kept(event)).is_err() {
            tracing::error!(event = kind, "an audit event was lost; the queue is full or the writer has stopped");
        }
    }

    /// How many events wait for the writer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Whether events can be made durable, as far as is known: whoever cannot write looks again once a second.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        !self.queue.is_closed() && self.writable.load(Ordering::Relaxed)
    }
}

/// A writer that is gone has left nothing behind that is not durable or undone, but nobody can say which.
fn told(verdict: Result<Verdict, tokio::sync::oneshot::error::RecvError>) -> Result<(), Undone> {
    match verdict {
        Ok(Verdict::Durable) => Ok(()),
        Ok(Verdict::Refused(event)) => Err(Undone::Refused(event)),
        Ok(Verdict::Unavailable) => Err(Undone::Unavailable),
        Err(_) => Err(Undone::Unknown),
    }
}

#[cfg(test)]
mod tests;
