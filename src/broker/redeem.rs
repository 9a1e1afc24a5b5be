//! The verb `redeem`: consumes a ticket and delivers its bundle, once. With its idempotency key, the same client can repeat a lost
//! download.

use super::context::Context;
use super::error::Error;
use super::pipeline::{Broker, Delivered};
use super::refused_tickets::EventLabels;
use crate::audit::{Event, EventCommitError, OpenEvent};
use crate::metrics::labels::{EventType, Outcome, RedemptionOutcome};
use crate::model::format::RequestedFormat;
use crate::model::idempotency_key::IdempotencyKey;
use crate::model::ipv6_prefix::ipv6_prefix;
use crate::model::secret::SecretValue;
use crate::model::ticket::TicketToken;
use crate::model::ticket_binding::TicketBinding;
use crate::render;
use crate::tickets::{FinalState, RedeemError, RedeemableTicket, Rejection, Ticket};
use crate::traces::Stage;
use crate::wire::problem::Code;
use jiff::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;
use tracing::Instrument as _;

/// Maximum number of attempts. An attempt is repeated if the ticket changes between the checks and the commit. After the last one
/// the error is `audit_unavailable`.
const MAX_ATTEMPTS: usize = 5;

/// Kind, outcome and reason of the event for an unknown ticket or a wrong key.
const UNKNOWN: EventLabels = (EventType::TicketRejected, Outcome::Denied, RedemptionOutcome::Unknown.as_str());

/// A request to redeem a ticket.
pub struct RedeemRequest {
    /// The token in the URL. `None` if it is malformed.
    pub token: Option<TicketToken>,
    pub format: RequestedFormat,
    /// The redeemer's bearer token, which a ticket with `bindTo: identity` requires.
    pub bearer: Option<SecretValue>,
    /// The client's key, with which it can repeat a lost download.
    pub idempotency_key: Option<IdempotencyKey>,
    pub context: Context,
}

/// A token that may be looked up.
struct AdmittedToken<'r> {
    token: &'r TicketToken,
    /// Whether the token was counted as a failure of the source address. The count is taken back if the ticket can be redeemed.
    is_charged: bool,
}

/// A redemption that passed all checks. The ticket is not consumed yet.
struct CheckedRedemption {
    ticket: Arc<Ticket>,
    delivered: Delivered,
    /// The time of the checks, which becomes the time of redemption.
    at: Timestamp,
    /// Whether the same redeemer has consumed the ticket before.
    is_replay: bool,
}

/// Why a bundle is not delivered.
enum RedeemRefusal {
    /// The refusal needs no event: it is only counted, or another event records it.
    Unrecorded(Error),
    /// The refusal has to be recorded. It does not change the ticket.
    Recorded { ticket: Arc<Ticket>, error: Error, event_labels: EventLabels },
    /// The request violates the ticket's binding, so the ticket has to be revoked.
    Misuse(Arc<Ticket>),
}

/// The result of an attempt to change the ticket and close its event.
enum Attempt {
    Done(Result<Delivered, Error>),
    /// The ticket changed since it was read. Nothing was written, and the event is still open.
    Changed(Box<OpenEvent>),
}

impl Broker {
    /// Redeems a ticket: consumes the ticket and records the redemption atomically.
    ///
    /// # Errors
    /// `ticket_*`, `rate_limited`, `audit_unavailable`, `unauthenticated`, `not_pod_bound`, `token_review_unavailable`,
    /// `unrenderable`, `secret_not_found`, `invalid_request`, `internal`. Of these, only `ticket_misuse` changes the ticket: it is
    /// revoked. After [`Error::OutcomeUnknown`] it is not known whether the ticket is consumed.
    pub async fn redeem(&self, redeem: &RedeemRequest) -> Result<Delivered, Error> {
        let _running = self.start_verb();
        let mut event =
            OpenEvent::new(&self.stages.audit, redeem.context.event(EventType::TicketFailed, Outcome::Failed));
        let mut admitted = match self.admit(redeem) {
            Ok(admitted) => admitted,
            Err(error) => {
                event.discard();
                return Err(error);
            }
        };
        for _ in 0..MAX_ATTEMPTS {
            let attempt = match self.check(&mut admitted, redeem).await {
                Ok(checked) => self.consume(checked, event, redeem).await,
                Err(RedeemRefusal::Misuse(ticket)) => self.revoke_misused(&ticket, event).await,
                Err(RedeemRefusal::Recorded { ticket, error, event_labels }) => {
                    return Err(self.record_ticket_refusal(&ticket, error, event_labels, event, redeem).await);
                }
                Err(RedeemRefusal::Unrecorded(error)) => {
                    event.discard();
                    return Err(error);
                }
            };
            match attempt {
                Attempt::Done(result) => return result,
                Attempt::Changed(open_event) => event = *open_event,
            }
        }
        event.discard();
        Err(Code::AuditUnavailable.into())
    }

    /// Checks the ticket and its binding, and renders the bundle. Does not change the ticket.
    async fn check(
        &self,
        admitted: &mut AdmittedToken<'_>,
        redeem: &RedeemRequest,
    ) -> Result<CheckedRedemption, RedeemRefusal> {
        let token = admitted.token;
        let at = self.stages.clock.now();
        let found = self.stages.tickets.find_redeemable(token, redeem.idempotency_key.as_ref(), at);
        let found = found.instrument(Stage::Tickets.span()).await;
        let RedeemableTicket { ticket, sealed, redeemed_at } = match found {
            Ok(found) => found,
            Err(error) => return Err(self.refuse_unredeemable(error, token, redeem.context.source_ip)),
        };
        if std::mem::take(&mut admitted.is_charged) {
            self.failures.refund(&ipv6_prefix(redeem.context.source_ip));
        }
        match self.satisfies_binding(&ticket, redeem).await {
            Ok(true) => {}
            Ok(false) => {
                return Err(match redeemed_at {
                    // The ticket is already consumed, so it cannot be revoked.
                    Some(at) => self.refuse_for_state(&Rejection::Redeemed { at }, ticket),
                    None => RedeemRefusal::Misuse(ticket),
                });
            }
            Err(error) if ticket.binding == TicketBinding::Ip => return Err(RedeemRefusal::failed(error, ticket)),
            // The failed authentication has its own event.
            Err(error) => return Err(RedeemRefusal::Unrecorded(error)),
        }
        let opened = self.stages.tickets.sealer.open(&sealed, token).map_err(|_| Error::Plain(Code::Internal));
        let rendered = opened.and_then(|bundle| {
            let rendered = Stage::Render.span().in_scope(|| render::render(&bundle, &redeem.format))?;
            Ok(Delivered::new(rendered, bundle, None))
        });
        match rendered {
            Ok(delivered) => Ok(CheckedRedemption { ticket, delivered, at, is_replay: redeemed_at.is_some() }),
            Err(error) => Err(RedeemRefusal::failed(error, ticket)),
        }
    }

    /// Consumes the ticket and records the redemption atomically.
    async fn consume(&self, checked: CheckedRedemption, mut event: OpenEvent, redeem: &RedeemRequest) -> Attempt {
        let CheckedRedemption { ticket, delivered, at, is_replay } = checked;
        if is_replay {
            return Attempt::Done(self.replay(&ticket, delivered, event, redeem).await);
        }
        describe_ticket(&mut event, &ticket);
        (event.kind, event.outcome, event.reason) = (EventType::TicketRedeemed, Outcome::Ok, None);
        let replay_digest = redeem.idempotency_key.as_ref().map(|key| Box::new(key.digest(ticket.id)));
        match event
            .close_with(self.stages.tickets.store.step_to_end(ticket.id, FinalState::Redeemed { at, replay_digest }))
            .await
        {
            Ok(()) => {
                self.stages.metrics.count_redemption(RedemptionOutcome::Redeemed);
                Attempt::Done(Ok(delivered))
            }
            Err(error) => error.into(),
        }
    }

    /// Delivers a consumed ticket again to the same redeemer, whose download was lost. Writes an event, and does not change the
    /// ticket. The request counts against the rate limit of the caller who requested the ticket.
    async fn replay(
        &self,
        ticket: &Ticket,
        delivered: Delivered,
        mut event: OpenEvent,
        redeem: &RedeemRequest,
    ) -> Result<Delivered, Error> {
        if !self.requests.charge(ticket.caller.quota_identity()) {
            let reason = Code::RateLimited.as_str();
            self.aggregated.add(EventType::TicketFailed, Outcome::Failed, reason, redeem.context.source_ip);
            event.discard();
            return Err(Code::RateLimited.into());
        }
        describe_ticket(&mut event, ticket);
        (event.kind, event.outcome, event.reason) = (EventType::TicketRedeemed, Outcome::Ok, Some("replay"));
        event.close().await?;
        self.stages.metrics.count_redemption(RedemptionOutcome::Replayed);
        Ok(delivered)
    }

    /// Whether the redeemer satisfies the ticket's binding. With `bindTo: identity`, the address does not matter, and a missing or
    /// refused token is an error that does not revoke the ticket.
    async fn satisfies_binding(&self, ticket: &Ticket, redeem: &RedeemRequest) -> Result<bool, Error> {
        match ticket.binding {
            TicketBinding::None => Ok(true),
            TicketBinding::Ip => self.is_from_bound_address(ticket, &redeem.context).await,
            TicketBinding::Identity => {
                let caller = self.authenticate(redeem.bearer.as_ref(), &redeem.context).await?;
                Ok(caller.identity() == ticket.caller.identity())
            }
        }
    }

    /// Whether a redeemer has the address that requested the ticket, or another address of the same pod: a dual-stack client
    /// chooses an address family for each connection. The pod is looked up only if the addresses differ.
    async fn is_from_bound_address(&self, ticket: &Ticket, context: &Context) -> Result<bool, Error> {
        if !context.source_is_known {
            return Ok(false);
        }
        if ticket.source_ip == context.source_ip {
            return Ok(true);
        }
        Ok(self.pod_addresses(&ticket.caller).await?.contains(&context.source_ip))
    }

    /// Returns the token, unless the request is refused before the ticket is looked up. If the MAC in the token's ID is invalid, so
    /// that no replica created the ID, the request counts as a failure of the source address, and is refused above the failure limit
    /// of the address. A genuine ID is refused only if the address has reached its failure limit and a request for the same ticket
    /// was refused within the last second.
    fn admit<'r>(&self, redeem: &'r RedeemRequest) -> Result<AdmittedToken<'r>, Error> {
        let source_ip = redeem.context.source_ip;
        let Some(token) = &redeem.token else { return Err(self.refuse_unknown(None, source_ip)) };
        let address = ipv6_prefix(source_ip);
        let event_labels = if !self.stages.tickets.ids.verify(token) {
            if self.failures.charge(address) {
                return Ok(AdmittedToken { token, is_charged: true });
            }
            UNKNOWN
        } else if self.failures.is_exhausted(&address)
            && let Some(event_labels) = self.refused_tickets.get(token.ticket_id())
        {
            event_labels
        } else {
            return Ok(AdmittedToken { token, is_charged: false });
        };
        let (kind, outcome, reason) = event_labels;
        // A redemption that failed for another reason than the ticket's state has no outcome here.
        if kind == EventType::TicketRejected
            && let Some(outcome) = RedemptionOutcome::from_name(reason)
        {
            self.stages.metrics.count_redemption(outcome);
        }
        self.aggregated.add(kind, outcome, reason, source_ip);
        Err(Code::RateLimited.into())
    }

    /// Turns the error of the look-up into a refusal. A rejection is counted.
    fn refuse_unredeemable(&self, error: RedeemError, token: &TicketToken, source_ip: IpAddr) -> RedeemRefusal {
        match error {
            RedeemError::Refused { rejection, ticket: Some(ticket) } => self.refuse_for_state(&rejection, ticket),
            RedeemError::Refused { ticket: None, .. } => {
                RedeemRefusal::Unrecorded(self.refuse_unknown(Some(token), source_ip))
            }
            RedeemError::Unavailable => RedeemRefusal::Unrecorded(Code::AuditUnavailable.into()),
        }
    }

    /// Refuses a malformed token (`None`), an unknown ID or a wrong key, which a client cannot distinguish. Counts the refusal, also
    /// as a failure of the source address.
    fn refuse_unknown(&self, token: Option<&TicketToken>, source_ip: IpAddr) -> Error {
        let (kind, outcome, reason) = UNKNOWN;
        self.stages.metrics.count_redemption(RedemptionOutcome::Unknown);
        self.aggregated.add(kind, outcome, reason, source_ip);
        let charged = match token {
            // Already counted by `admit`.
            Some(token) if !self.stages.tickets.ids.verify(token) => true,
            Some(token) => {
                self.refused_tickets.record(token.ticket_id(), UNKNOWN);
                self.failures.charge(ipv6_prefix(source_ip))
            }
            None => self.failures.charge(ipv6_prefix(source_ip)),
        };
        if charged { Code::TicketUnknown.into() } else { Code::RateLimited.into() }
    }

    /// Revokes a ticket after a request that violates its binding.
    async fn revoke_misused(&self, ticket: &Ticket, mut event: OpenEvent) -> Attempt {
        describe_ticket(&mut event, ticket);
        (event.kind, event.outcome) = (EventType::TicketRejected, Outcome::Denied);
        event.reason = Some(RedemptionOutcome::Misuse.as_str());
        match event.close_with(self.stages.tickets.store.step_to_end(ticket.id, FinalState::Revoked)).await {
            Ok(()) => {
                self.stages.metrics.count_redemption(RedemptionOutcome::Misuse);
                Attempt::Done(Err(Code::TicketMisuse.into()))
            }
            Err(error) => error.into(),
        }
    }

    /// Counts a rejection and turns it into a refusal. The client has the key of the ticket, and so may learn the ticket's state.
    fn refuse_for_state(&self, rejection: &Rejection, ticket: Arc<Ticket>) -> RedeemRefusal {
        let (outcome, error) = match rejection {
            Rejection::Unknown => (RedemptionOutcome::Unknown, Code::TicketUnknown.into()),
            Rejection::Redeemed { at } => (RedemptionOutcome::AlreadyRedeemed, Error::TicketRedeemed { at: *at }),
            Rejection::Expired => (RedemptionOutcome::Expired, Code::TicketExpired.into()),
            Rejection::Revoked => (RedemptionOutcome::Revoked, Code::TicketRevoked.into()),
        };
        self.stages.metrics.count_redemption(outcome);
        RedeemRefusal::Recorded {
            ticket,
            error,
            event_labels: (EventType::TicketRejected, Outcome::Denied, outcome.as_str()),
        }
    }

    /// Records a refusal that does not change the ticket. If the address has reached its failure limit, the refusal is only
    /// counted, so that the log cannot be filled with one URL.
    async fn record_ticket_refusal(
        &self,
        ticket: &Ticket,
        error: Error,
        event_labels: EventLabels,
        mut event: OpenEvent,
        redeem: &RedeemRequest,
    ) -> Error {
        let source_ip = redeem.context.source_ip;
        let (kind, outcome, reason) = event_labels;
        self.refused_tickets.record(ticket.id, event_labels);
        if !self.failures.charge(ipv6_prefix(source_ip)) {
            self.aggregated.add(kind, outcome, reason, source_ip);
            event.discard();
            return Code::RateLimited.into();
        }
        describe_ticket(&mut event, ticket);
        (event.kind, event.outcome, event.reason) = (kind, outcome, Some(reason));
        self.record_or_count_refusal(event).await.err().map_or(error, Error::from)
    }
}

impl RedeemRefusal {
    /// The refusal of a request that failed for another reason than the ticket's state.
    fn failed(error: Error, ticket: Arc<Ticket>) -> Self {
        let event_labels = (EventType::TicketFailed, Outcome::Failed, error.code().as_str());
        Self::Recorded { ticket, error, event_labels }
    }
}

impl From<EventCommitError<Box<OpenEvent>>> for Attempt {
    fn from(error: EventCommitError<Box<OpenEvent>>) -> Self {
        match error {
            EventCommitError::Rejected(event) => Self::Changed(event),
            EventCommitError::Failed(_) => Self::Done(Err(Code::AuditUnavailable.into())),
            EventCommitError::Unknown(_) => Self::Done(Err(Error::OutcomeUnknown)),
        }
    }
}

/// Writes the fields of a ticket into an event. `caller` becomes the caller who requested the ticket; `source_ip`
/// remains the address of the current request.
pub(super) fn describe_ticket(event: &mut Event, ticket: &Ticket) {
    event.caller = Some(ticket.caller.clone());
    event.repo = Some(ticket.repo.clone());
    event.branch = Some(ticket.branch.clone());
    event.policies = ticket.policies.iter().map(|policy| policy.name.clone()).collect();
    event.keys = ticket.keys.clone();
    event.ticket_id = Some(ticket.id);
    event.secrets = ticket.secrets.clone();
}
