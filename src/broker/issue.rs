//! Issue: a caller asks for a ticket.

use super::error::Error;
use super::gather::{Gathered, note_stale};
use super::issue_request::{DeliveryMode, IssueRequest};
use super::pipeline::Broker;
use super::redeem::describe;
use super::refusal::{EventData, Refusal};
use crate::audit::{CommitError, OpenEvent};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::shadow::ShadowVerdict;
use crate::model::ticket::TicketToken;
use crate::policy::Grant;
use crate::tickets::{CallerLimits, MAX_BUNDLE_BYTES, SealError, Sealed, Ticket};
use crate::traces::Stage;
use crate::wire::problem::Code;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// A ticket, and how to redeem it.
pub struct Issued {
    pub url: Zeroizing<String>,
    pub ticket: Arc<Ticket>,
    /// Number of granted secrets that do not exist.
    pub missing: usize,
    /// The lengths of the values in the order of the ticket's keys, if they were requested.
    pub sizes: Option<Vec<usize>>,
}

struct Prepared {
    ticket: Arc<Ticket>,
    sealed: Sealed,
    token: TicketToken,
    missing: usize,
    sizes: Option<Vec<usize>>,
    is_stale: bool,
    limits: Option<Arc<CallerLimits>>,
    shadow: Vec<ShadowVerdict>,
}

impl Broker {
    /// Issues a ticket. After an error there is no ticket.
    ///
    /// # Errors
    /// Those that openapi/claviger.json lists for `POST /v1/tickets`.
    pub async fn issue(&self, ask: IssueRequest) -> Result<Issued, Error> {
        let _running = self.start_verb();
        let event = self.open_event(ask.caller.clone(), &ask.context, DeliveryMode::Ticket);
        match self.prepare(&ask).await {
            Ok(prepared) => self.release(prepared, event, &ask).await,
            Err(refusal) => Err(self.close_refused(event, refusal, &ask, DeliveryMode::Ticket).await),
        }
    }

    /// Stores the ticket together with its event. The URL is answered only when both are durable.
    async fn release(&self, prepared: Prepared, mut event: OpenEvent, ask: &IssueRequest) -> Result<Issued, Error> {
        let Prepared { ticket, sealed, token, missing, sizes, is_stale, limits, shadow } = prepared;
        describe(&mut event, &ticket);
        event.shadow = shadow;
        (event.kind, event.outcome) = (EventType::TicketIssued, Outcome::Ok);
        note_stale(&mut event, is_stale);
        match event.close_with(self.stages.tickets.store.issuing(&ticket, sealed, limits.clone())).await {
            Ok(()) => {}
            Err(CommitError::Rejected(mut event)) if limits.is_some_and(|limits| limits.is_reached()) => {
                event.ticket_id = None;
                let event_data = EventData { shadow: std::mem::take(&mut event.shadow), ..ticket_event_data(&ticket) };
                let refusal = Refusal { outcome: Outcome::Denied, ..Refusal::new(Code::TicketLimit, event_data) };
                return Err(self.close_refused(*event, refusal, ask, DeliveryMode::Ticket).await);
            }
            Err(CommitError::Rejected(event)) => {
                return Err(self.close_refused(*event, Code::RateLimited.into(), ask, DeliveryMode::Ticket).await);
            }
            // If the ticket was stored after all, nobody has its URL.
            Err(CommitError::Failed(_) | CommitError::Unknown(_)) => return Err(Code::AuditUnavailable.into()),
        }
        let names = ticket.policies.iter().map(|policy| &*policy.name);
        self.stages.metrics.count_issued_ticket(names.filter(|name| self.has_series(name)));
        let segment = token.to_url_segment();
        let mut url = Zeroizing::new(String::with_capacity(self.stages.public_url.len() + 14 + segment.len()));
        url.push_str(&self.stages.public_url);
        url.push_str("/v1/downloads/");
        url.push_str(&segment);
        Ok(Issued { url, ticket, missing, sizes })
    }

    /// Everything up to the sealed bundle.
    async fn prepare(&self, ask: &IssueRequest) -> Result<Prepared, Refusal> {
        if !self.stages.tickets.store.has_room_for(&ask.caller.identity()) {
            return Err(Code::RateLimited.into());
        }
        let gathered = self.gather(ask, DeliveryMode::Ticket).await?;
        let Ok(token) = self.stages.tickets.ids.fresh() else {
            return Err(Refusal::new(Code::Internal, gathered.event_data()));
        };
        let Gathered { grant, bundle, secrets, missing, asked_ttl, shadow, .. } = gathered;
        let issued_at = whole_microseconds(self.stages.clock.now());
        let expires_at = self.expiry(issued_at, &grant, asked_ttl);
        let bind_to = self.binding(&grant);
        let limits = CallerLimits::of(grant.limits);
        let ticket = Arc::new(Ticket {
            id: token.ticket_id(),
            caller: ask.caller.clone(),
            repo: grant.request.repo,
            branch: grant.request.branch,
            policies: grant.policies,
            keys: bundle.entries.keys().cloned().collect(),
            secrets,
            issued_at,
            expires_at,
            bind_to,
            source_ip: ask.context.source_ip,
        });
        let sealed = Stage::Tickets.span().in_scope(|| self.stages.tickets.sealer.seal(&bundle, &token, &ticket));
        let sealed = sealed.map_err(|error| {
            let code = match error {
                SealError::TooLarge => {
                    tracing::error!(bytes_at_most = MAX_BUNDLE_BYTES, "bundle exceeds the ticket size limit");
                    Code::StoreMisconfigured
                }
                SealError::Open(_) | SealError::Seal(_) | SealError::Malformed(_) => Code::Internal,
            };
            Refusal::new(code, EventData { shadow: shadow.clone(), ..ticket_event_data(&ticket) })
        })?;
        let sizes = ask.sizes.then(|| bundle.entries.values().map(|entry| entry.value.len()).collect());
        Ok(Prepared { ticket, sealed, token, missing, sizes, is_stale: bundle.stale, limits, shadow })
    }

    /// Whether the caller has as many tickets of a granting policy as it allows, as far as is known before secrets are read.
    /// Whatever happens concurrently, and while the store cannot be reached, the step decides.
    pub(super) async fn is_ticket_limit_reached(&self, ask: &IssueRequest, grant: &Grant) -> bool {
        if grant.limits.is_empty() {
            return false;
        }
        self.stages.tickets.store.has_reached(&ask.caller.identity(), &grant.limits).await.unwrap_or(false)
    }

    fn expiry(&self, issued_at: Timestamp, grant: &Grant, asked: Option<Duration>) -> Timestamp {
        let allowed = grant.ttl.unwrap_or(self.stages.ticket_settings.ttl).min(self.stages.ticket_settings.max_ttl);
        let ttl = asked.map_or(allowed, |asked| asked.min(allowed));
        let ttl = SignedDuration::try_from(ttl).unwrap_or(SignedDuration::ZERO);
        whole_microseconds(issued_at.checked_add(ttl).unwrap_or(issued_at))
    }
}

fn ticket_event_data(ticket: &Ticket) -> EventData {
    EventData {
        repo: Some(ticket.repo.clone()),
        branch: Some(ticket.branch.clone()),
        policies: ticket.policies.iter().map(|policy| policy.name.to_string()).collect(),
        secrets: ticket.secrets.clone(),
        keys: ticket.keys.clone(),
        shadow: Vec::new(),
    }
}

/// The precision of a ticket's times, which is that of the database.
fn whole_microseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}
