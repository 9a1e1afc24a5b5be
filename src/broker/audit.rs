//! Verbs of administrators on the audit log: list, stream and verify.

use super::administrator::Administrator;
use super::error::Error;
use super::page::Page;
use super::pipeline::Broker;
use crate::admins::{AdminAction, Resource, Verb};
use crate::audit::{BrokenEvent, FoundEvents, Reader, RecordedEvent};
use crate::wire::audit_list::{AuditEventList, AuditVerified, BrokenPlace};
use crate::wire::problem::Code;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use serde_json::value::RawValue;

pub use crate::audit::{Cursor, Filter};
pub use crate::metrics::labels::{EventType, Outcome};

/// Number of events in one chunk of a stream.
const CHUNK_EVENTS: usize = 500;

/// The log could not be read to the end. The response is aborted, which the client detects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be read")]
pub struct StreamError;

impl Broker {
    /// A page of matching events, newest first, with the continuation token of the next page. If the search takes long, the page
    /// has fewer events than its limit, possibly none, and the next page continues the search.
    ///
    /// # Errors
    /// `denied`, `token_review_unavailable`, `database_unavailable`, `audit_unavailable`.
    pub async fn list_events(
        &self,
        administrator: &Administrator,
        filter: &Filter,
        page: Page<Cursor>,
    ) -> Result<AuditEventList, Error> {
        self.authorise(administrator, audit_action(Verb::List)).await?;
        let found = self.stages.audit.reader().events(filter, page.after.as_ref(), page.limit_plus_one()).await;
        let FoundEvents { mut events, stopped_at } = found.map_err(|_| Error::Plain(Code::DatabaseUnavailable))?;
        let last = page.truncate(&mut events).map(|last| last.cursor.clone());
        let next = last.or(stopped_at).map(|position| position.to_string());
        let raw = |recorded: RecordedEvent| RawValue::from_string(recorded.json);
        // An event that is not JSON was tampered with. It is omitted here, and verification reports it.
        let items = events.into_iter().filter_map(|event| raw(event).ok()).collect();
        Ok(AuditEventList { items, continue_token: next })
    }

    /// At most `limit` matching events as JSON lines, newest first. They are read while the stream is consumed.
    ///
    /// # Errors
    /// As for [`Broker::list_events`].
    pub async fn stream_events(
        &self,
        administrator: &Administrator,
        filter: Filter,
        after: Option<Cursor>,
        limit: Option<usize>,
    ) -> Result<BoxStream<'static, Result<Bytes, StreamError>>, Error> {
        self.authorise(administrator, audit_action(Verb::List)).await?;
        let (reader, remaining) = (self.stages.audit.reader(), limit.unwrap_or(usize::MAX));
        let mut events = EventStream { reader, filter, after, remaining };
        // Read before the response begins, so that a first failure gives an error response instead of an aborted stream.
        let first = events.next_chunk().await.map_err(|StreamError| Error::Plain(Code::DatabaseUnavailable))?;
        let chunks = stream::try_unfold((first, events), |(mut chunk, mut events)| async move {
            while chunk.is_empty() && events.remaining > 0 {
                chunk = events.next_chunk().await?;
            }
            Ok(if chunk.is_empty() { None } else { Some((chunk, (Bytes::new(), events))) })
        });
        Ok(chunks.boxed())
    }

    /// Verifies all hash chains.
    ///
    /// # Errors
    /// As for [`Broker::list_events`].
    pub async fn verify_audit(&self, administrator: &Administrator) -> Result<AuditVerified, Error> {
        self.authorise(administrator, audit_action(Verb::Get)).await?;
        let verified =
            self.stages.audit.reader().verify().await.map_err(|_| Error::Plain(Code::DatabaseUnavailable))?;
        let to_object = |broken: BrokenEvent| BrokenPlace {
            chain: broken.chain,
            seq: broken.seq,
            reason: broken.reason.as_str().into(),
        };
        if let Some(broken) = &verified.first_broken {
            tracing::error!(
                chain = broken.chain,
                seq = broken.seq,
                reason = broken.reason.as_str(),
                "audit log verification failed"
            );
        }
        Ok(AuditVerified {
            ok: verified.first_broken.is_none(),
            events: verified.events,
            chains: verified.chains,
            first_broken: verified.first_broken.map(to_object),
        })
    }
}

/// The events of a stream that have not been read yet.
struct EventStream {
    reader: Reader,
    filter: Filter,
    /// The position of the last event that was read, or up to which no further event matches.
    after: Option<Cursor>,
    /// Maximum number of events that remain to be read. 0 at the end of the log.
    remaining: usize,
}

impl EventStream {
    /// The next lines. They are empty at the end, and if a search took too long to find an event.
    async fn next_chunk(&mut self) -> Result<Bytes, StreamError> {
        let limit = self.remaining.min(CHUNK_EVENTS);
        if limit == 0 {
            return Ok(Bytes::new());
        }
        let found = self.reader.events(&self.filter, self.after.as_ref(), limit).await.map_err(|_| StreamError)?;
        let FoundEvents { events, stopped_at } = found;
        let is_last = events.len() < limit && stopped_at.is_none();
        self.remaining = if is_last { 0 } else { self.remaining - events.len() };
        let mut lines = String::with_capacity(events.iter().map(|recorded| recorded.json.len() + 1).sum());
        for recorded in &events {
            lines.push_str(&recorded.json);
            lines.push('\n');
        }
        self.after = stopped_at.or_else(|| events.into_iter().last().map(|last| last.cursor));
        Ok(lines.into())
    }
}

const fn audit_action(verb: Verb) -> AdminAction<'static> {
    AdminAction { verb, resource: Resource::Audit, name: None }
}
