//! Issue: a caller asks for a ticket.

use super::error::Error;
use super::gather::Gathered;
use super::gather::{DeliveryMode, IssueRequest};
use super::pipeline::Broker;
use crate::audit::{CommitError, Event, OpenEvent};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::ticket::TicketToken;
use crate::policy::Grant;
use crate::tickets::{MAX_BUNDLE_BYTES, SealError, Sealed, Ticket};
use crate::traces::Stage;
use crate::wire::problem::Code;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// A ticket, and how to redeem it.
pub struct Issued {
    /// The one-time download URL.
    pub url: Zeroizing<String>,
    /// What is no secret about it.
    pub ticket: Arc<Ticket>,
    /// How many of the secrets that the policies name do not exist.
    pub missing: usize,
    /// The lengths of the values in the order of the ticket's keys, where they were asked for.
    pub sizes: Option<Vec<usize>>,
}

struct Prepared {
    ticket: Arc<Ticket>,
    sealed: Sealed,
    token: TicketToken,
    missing: usize,
    sizes: Option<Vec<usize>>,
}

impl Broker {
    /// Issues a ticket.
    ///
    /// # Errors
    /// See api.md's list for `POST /v1/tickets`. After an error there is no ticket.
    pub async fn issue(&self, ask: IssueRequest) -> Result<Issued, Error> {
        let _under_way = self.under_way();
        let mut event = self.open_event(&ask, DeliveryMode::Ticket);
        let prepared = timeout(self.stages.limits.request_timeout, self.prepare(&ask, &mut event))
            .await
            .unwrap_or(Err(Error::Plain(Code::Timeout)));
        match prepared {
            Ok(prepared) => self.release(prepared, event, &ask).await,
            Err(error) => Err(self.failed(error, event, &ask).await),
        }
    }

    /// The ticket and its event are there together or not at all, and nobody knows the URL before.
    async fn release(&self, prepared: Prepared, mut event: OpenEvent, ask: &IssueRequest) -> Result<Issued, Error> {
        let Prepared { ticket, sealed, token, missing, sizes } = prepared;
        event.kind = EventType::TicketIssued;
        event.outcome = Outcome::Ok;
        event.ticket_id = Some(ticket.id);
        match event.close_with(self.stages.tickets.store.issuing(&ticket, sealed)).await {
            Ok(()) => {}
            Err(CommitError::Rejected(mut event)) => {
                event.kind = DeliveryMode::Ticket.failed();
                return Err(self.failed(Code::RateLimited.into(), *event, ask).await);
            }
            // A ticket that is there all the same is one that nobody can redeem.
            Err(CommitError::Failed(_) | CommitError::Unknown(_)) => return Err(Code::AuditUnavailable.into()),
        }
        self.stages.metrics.ticket_issued(ticket.policies.iter().map(|policy| &*policy.name));
        let segment = token.to_url_segment();
        let mut url = Zeroizing::new(String::with_capacity(self.stages.public_url.len() + 14 + segment.len()));
        url.push_str(&self.stages.public_url);
        url.push_str("/v1/downloads/");
        url.push_str(&segment);
        Ok(Issued { url, ticket, missing, sizes })
    }

    /// Everything up to the sealed bundle.
    async fn prepare(&self, ask: &IssueRequest, event: &mut Event) -> Result<Prepared, Error> {
        if !self.stages.tickets.store.has_room_for(&ask.caller.identity()) {
            return Err(Code::RateLimited.into());
        }
        let Gathered { grant, bundle, missing, asked_ttl } = self.gather(ask, DeliveryMode::Ticket, event).await?;
        let token = self.stages.tickets.ids.fresh().map_err(|_| Error::Plain(Code::Internal))?;
        let issued_at = whole_microseconds(self.stages.clock.now());
        let ticket = Arc::new(Ticket {
            id: token.ticket_id(),
            caller: ask.caller.clone(),
            repo: grant.request.repo.clone(),
            branch: grant.request.branch.clone(),
            policies: grant.policies.clone(),
            keys: event.keys.clone(),
            secrets: event.secrets.clone(),
            issued_at,
            expires_at: self.expiry(issued_at, &grant, asked_ttl),
            bind_to: self.binding(&grant),
            source_ip: ask.context.source_ip,
        });
        let sealed = Stage::Tickets.span().in_scope(|| self.stages.tickets.sealer.seal(&bundle, &token, &ticket));
        let sealed = sealed.map_err(|error| match error {
            SealError::TooLarge => {
                tracing::error!(bytes_at_most = MAX_BUNDLE_BYTES, "bundle exceeds the ticket size limit");
                Code::StoreMisconfigured
            }
            SealError::DoesNotOpen(_) | SealError::NotSealed(_) | SealError::Malformed(_) => Code::Internal,
        })?;
        let sizes = ask.sizes.then(|| bundle.entries.values().map(|entry| entry.value.len()).collect());
        Ok(Prepared { ticket, sealed, token, missing, sizes })
    }

    fn expiry(&self, issued_at: Timestamp, grant: &Grant, asked: Option<Duration>) -> Timestamp {
        let allowed = grant.ttl.unwrap_or(self.stages.ticket_settings.ttl).min(self.stages.ticket_settings.max_ttl);
        let ttl = asked.map_or(allowed, |asked| asked.min(allowed));
        let ttl = SignedDuration::try_from(ttl).unwrap_or(SignedDuration::ZERO);
        whole_microseconds(issued_at.checked_add(ttl).unwrap_or(issued_at))
    }
}

/// What a ticket has, because that is what a database keeps.
fn whole_microseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}
