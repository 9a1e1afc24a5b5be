//! The verb `issue`: gathers the secrets of a caller and issues a ticket for them.

use super::error::Error;
use super::gather::{GatheredSecrets, set_stale_reason};
use super::issue_request::{DeliveryMode, IssueRequest};
use super::pipeline::Broker;
use super::redeem::describe_ticket;
use super::refusal::{EventData, Refusal};
use crate::audit::{EventCommitError, OpenEvent};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::bundle::Entry;
use crate::model::shadow::ShadowVerdict;
use crate::model::ticket::TicketToken;
use crate::policy::Grant;
use crate::tickets::{CallerLimits, MAX_BUNDLE_BYTES, SealError, SealedBundle, Ticket};
use crate::traces::Stage;
use crate::wire::problem::Code;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroizing;

pub struct IssuedTicket {
    /// The one-time download URL.
    pub url: Zeroizing<String>,
    pub ticket: Arc<Ticket>,
    /// Number of granted secrets that do not exist.
    pub missing: usize,
    /// The lengths of the delivered values in bytes, in the order of the ticket's keys, if they were requested.
    pub sizes: Option<Vec<usize>>,
}

/// A ticket that is sealed but not yet stored.
struct PreparedTicket {
    ticket: Arc<Ticket>,
    sealed: SealedBundle,
    token: TicketToken,
    missing: usize,
    sizes: Option<Vec<usize>>,
    is_stale: bool,
    /// The ticket store marks them as reached if they are the reason of a rejection.
    limits: Option<Arc<CallerLimits>>,
    shadow: Vec<ShadowVerdict>,
}

impl Broker {
    /// Issues a ticket. After an error, no ticket of this request can be redeemed.
    ///
    /// # Errors
    /// Those that openapi/claviger.json lists for `POST /v1/tickets`.
    pub async fn issue(&self, request: IssueRequest) -> Result<IssuedTicket, Error> {
        let _running = self.start_verb();
        let event = self.open_event(request.caller.clone(), &request.context, DeliveryMode::Ticket);
        match self.prepare(&request).await {
            Ok(prepared) => self.store_and_record(prepared, event, &request).await,
            Err(refusal) => Err(self.close_refused(event, refusal, &request, DeliveryMode::Ticket).await),
        }
    }

    /// Stores the ticket together with its event. Returns the URL only when both are durable.
    async fn store_and_record(
        &self,
        prepared: PreparedTicket,
        mut event: OpenEvent,
        request: &IssueRequest,
    ) -> Result<IssuedTicket, Error> {
        let PreparedTicket { ticket, sealed, token, missing, sizes, is_stale, limits, shadow } = prepared;
        describe_ticket(&mut event, &ticket);
        event.shadow = shadow;
        (event.kind, event.outcome) = (EventType::TicketIssued, Outcome::Ok);
        set_stale_reason(&mut event, is_stale);
        match event.close_with(self.stages.tickets.store.step_to_issue(&ticket, sealed, limits.clone())).await {
            Ok(()) => {}
            Err(EventCommitError::Rejected(mut event)) if limits.is_some_and(|limits| limits.is_reached()) => {
                event.ticket_id = None;
                let event_data = EventData { shadow: std::mem::take(&mut event.shadow), ..ticket_event_data(&ticket) };
                let refusal = Refusal { outcome: Outcome::Denied, ..Refusal::new(Code::TicketLimit, event_data) };
                return Err(self.close_refused(*event, refusal, request, DeliveryMode::Ticket).await);
            }
            Err(EventCommitError::Rejected(event)) => {
                return Err(self.close_refused(*event, Code::RateLimited.into(), request, DeliveryMode::Ticket).await);
            }
            // If the ticket was stored nevertheless, it cannot be redeemed, because its URL was not sent.
            Err(EventCommitError::Failed(_) | EventCommitError::Unknown(_)) => {
                return Err(Code::AuditUnavailable.into());
            }
        }
        let names = ticket.policies.iter().map(|policy| &*policy.name);
        self.stages.metrics.count_issued_ticket(names.filter(|name| self.may_count_policy(name)));
        let segment = token.to_url_segment();
        let mut url = Zeroizing::new(String::with_capacity(self.stages.public_url.len() + 14 + segment.len()));
        url.push_str(&self.stages.public_url);
        url.push_str("/v1/downloads/");
        url.push_str(&segment);
        Ok(IssuedTicket { url, ticket, missing, sizes })
    }

    /// Gathers the secrets and seals them.
    async fn prepare(&self, request: &IssueRequest) -> Result<PreparedTicket, Refusal> {
        if !self.stages.tickets.store.has_room_for(&request.caller.identity()) {
            return Err(Code::RateLimited.into());
        }
        let gathered = self.gather(request, DeliveryMode::Ticket).await?;
        let Ok(token) = self.stages.tickets.ids.generate_token() else {
            return Err(Refusal::new(Code::Internal, gathered.event_data()));
        };
        // A ticket expires no later than its secrets. The reads of others may have taken all of the time that one had left.
        let remaining = gathered.secrets_expire_at.map(|at| at.saturating_duration_since(Instant::now()));
        if remaining == Some(Duration::ZERO) {
            return Err(Refusal::new(Code::StoreUnavailable, gathered.event_data()));
        }
        let GatheredSecrets { grant, bundle, secrets, missing, requested_ttl, shadow, .. } = gathered;
        let issued_at = truncate_to_microseconds(self.stages.clock.now());
        let expires_at = self.expiry(issued_at, &grant, [requested_ttl, remaining].into_iter().flatten().min());
        let binding = self.ticket_binding(&grant);
        let limits = CallerLimits::from_limits(grant.limits);
        let ticket = Arc::new(Ticket {
            id: token.ticket_id(),
            caller: request.caller.clone(),
            repo: grant.request.repo,
            branch: grant.request.branch,
            policies: grant.policies,
            keys: bundle.entries.keys().cloned().collect(),
            secrets,
            issued_at,
            expires_at,
            binding,
            source_ip: request.context.source_ip,
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
        let sizes = request.sizes.then(|| bundle.entries.values().map(Entry::delivered_len).collect());
        Ok(PreparedTicket { ticket, sealed, token, missing, sizes, is_stale: bundle.stale, limits, shadow })
    }

    /// Whether the caller has reached the ticket limit of a granting policy, so that no secrets need to be read. This is only an
    /// early check, false if the store cannot be reached: the limit is enforced when the ticket is stored.
    pub(super) async fn is_ticket_limit_reached(&self, request: &IssueRequest, grant: &Grant) -> bool {
        if grant.limits.is_empty() {
            return false;
        }
        self.stages.tickets.store.has_reached_limit(&request.caller.identity(), &grant.limits).await.unwrap_or(false)
    }

    fn expiry(&self, issued_at: Timestamp, grant: &Grant, ttl_limit: Option<Duration>) -> Timestamp {
        let ttl = SignedDuration::try_from(self.ticket_ttl(grant, ttl_limit)).unwrap_or(SignedDuration::ZERO);
        truncate_to_microseconds(issued_at.checked_add(ttl).unwrap_or(issued_at))
    }
}

fn ticket_event_data(ticket: &Ticket) -> EventData {
    EventData {
        repo: Some(ticket.repo.clone()),
        branch: Some(ticket.branch.clone()),
        policies: ticket.policies.iter().map(|policy| policy.name.clone()).collect(),
        secrets: ticket.secrets.clone(),
        keys: ticket.keys.clone(),
        shadow: Vec::new(),
    }
}

/// Truncates a time of a ticket to the precision of the database.
fn truncate_to_microseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}
