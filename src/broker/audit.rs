//! Reads of the audit log: a page, a stream, and verification.

use super::administer::Administrator;
use super::error::Error;
use super::page::Page;
use super::pipeline::Broker;
use crate::admins::{Act, Resource, Verb};
use crate::audit::{Broken, Reader, Recorded};
use crate::wire::audit_list::{AuditEventList, AuditVerified, BrokenPlace};
use crate::wire::problem::Code;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use serde_json::value::RawValue;

pub use crate::audit::{Cursor, Filter};
pub use crate::metrics::labels::{EventType, Outcome};

/// Number of events in one chunk of a stream.
const CHUNK: usize = 500;

/// The log cannot be read further. The response is truncated, which the client detects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be read")]
pub struct Truncated;

impl Broker {
    /// A page of matching events, newest first, with the continuation token of the next page.
    ///
    /// # Errors
    /// `denied`, `token_review_unavailable`, `database_unavailable`.
    pub async fn list_events(
        &self,
        who: &Administrator,
        filter: &Filter,
        page: Page<Cursor>,
    ) -> Result<AuditEventList, Error> {
        self.authorise(who, on_audit(Verb::List)).await?;
        let events = self.stages.audit.reader().events(filter, page.after.as_ref(), page.wanted()).await;
        let mut events = events.map_err(|_| Error::Plain(Code::DatabaseUnavailable))?;
        let next = page.cut(&mut events).map(|last| last.place.to_string());
        let raw = |recorded: Recorded| RawValue::from_string(recorded.event);
        // An event that is not JSON was tampered with. Verification reports its place.
        let items = events.into_iter().filter_map(|event| raw(event).ok()).collect();
        Ok(AuditEventList { items, continue_token: next })
    }

    /// Matching events as JSON lines, newest first, at most `limit`. They are read while the stream is consumed.
    ///
    /// # Errors
    /// As for [`Broker::list_events`].
    pub async fn stream_events(
        &self,
        who: &Administrator,
        filter: Filter,
        after: Option<Cursor>,
        limit: Option<usize>,
    ) -> Result<BoxStream<'static, Result<Bytes, Truncated>>, Error> {
        self.authorise(who, on_audit(Verb::List)).await?;
        let mut rest =
            ExportStream { reader: self.stages.audit.reader(), filter, after, left: limit.unwrap_or(usize::MAX) };
        // An error in the first chunk gives an error response instead of a truncated stream.
        let first = rest.chunk().await.map_err(|Truncated| Error::Plain(Code::DatabaseUnavailable))?;
        let chunks = stream::try_unfold((Some(first), rest), |(first, mut rest)| async move {
            let chunk = match first {
                Some(first) => first,
                None => rest.chunk().await?,
            };
            Ok(if chunk.is_empty() { None } else { Some((chunk, (None, rest))) })
        });
        Ok(chunks.boxed())
    }

    /// Verifies all hash chains.
    ///
    /// # Errors
    /// As for [`Broker::list_events`].
    pub async fn verify_audit(&self, who: &Administrator) -> Result<AuditVerified, Error> {
        self.authorise(who, on_audit(Verb::Get)).await?;
        let verified =
            self.stages.audit.reader().verify().await.map_err(|_| Error::Plain(Code::DatabaseUnavailable))?;
        let place = |broken: Broken| BrokenPlace {
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
            first_broken: verified.first_broken.map(place),
        })
    }
}

/// The remainder of a stream.
struct ExportStream {
    reader: Reader,
    filter: Filter,
    after: Option<Cursor>,
    left: usize,
}

impl ExportStream {
    /// The next lines; empty at the end.
    async fn chunk(&mut self) -> Result<Bytes, Truncated> {
        let limit = self.left.min(CHUNK);
        if limit == 0 {
            return Ok(Bytes::new());
        }
        let events = self.reader.events(&self.filter, self.after.as_ref(), limit).await.map_err(|_| Truncated)?;
        self.left = if events.len() < limit { 0 } else { self.left - events.len() };
        let mut lines = String::with_capacity(events.iter().map(|recorded| recorded.event.len() + 1).sum());
        for recorded in &events {
            lines.push_str(&recorded.event);
            lines.push('\n');
        }
        self.after = events.into_iter().last().map(|last| last.place);
        Ok(lines.into())
    }
}

const fn on_audit(verb: Verb) -> Act<'static> {
    Act { verb, resource: Resource::Audit, name: None }
}
