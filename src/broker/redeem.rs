//! Redeem: the holder of a one-time download URL fetches the bundle, once.

use super::context::Context;
use super::error::Error;
use super::pipeline::{Broker, Delivered};
use super::recent_refusals::RefusalEvent;
use crate::audit::{CommitError, Event, OpenEvent};
use crate::metrics::labels::{EventType, Outcome, RedemptionOutcome};
use crate::model::binding::BindTo;
use crate::model::format::Rendering;
use crate::model::idempotency_key::IdempotencyKey;
use crate::model::ipv6_prefix::ipv6_prefix;
use crate::model::secret::SecretValue;
use crate::model::ticket::TicketToken;
use crate::render;
use crate::tickets::{Ending, NotPresented, Presented, Rejection, Ticket};
use crate::traces::Stage;
use crate::wire::problem::Code;
use jiff::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;
use tracing::Instrument as _;

/// Maximum number of attempts if the ticket changes between the checks and the commit.
const ATTEMPTS: usize = 5;

/// Kind, outcome and reason of the event for an unknown ticket or a wrong key.
const UNKNOWN: RefusalEvent = (EventType::TicketRejected, Outcome::Denied, RedemptionOutcome::Unknown.as_str());

/// A request for a bundle.
pub struct Redeem {
    /// The token in the URL, or none if it is malformed.
    pub token: Option<TicketToken>,
    pub rendering: Rendering,
    /// The redeemer's bearer token, which a ticket with `bindTo: identity` requires.
    pub bearer: Option<SecretValue>,
    /// Identifies a repeated download.
    pub repeats: Option<IdempotencyKey>,
    pub context: Context,
}

/// A token that is looked up.
struct Admitted<'r> {
    token: &'r TicketToken,
    /// Whether the address was charged for it, which is refunded if the ticket exists.
    is_charged: bool,
}

/// All checks passed. Only the ticket and its event remain to be written.
struct Redeemable {
    ticket: Arc<Ticket>,
    delivered: Delivered,
    at: Timestamp,
    /// Whether the ticket was consumed by this redeemer before.
    is_replay: bool,
}

/// Why a bundle is not delivered.
enum NotRedeemed {
    /// The refusal is counted, or recorded by another event.
    Unrecorded(Error),
    /// The refusal is recorded, and changes nothing.
    Recorded { ticket: Arc<Ticket>, error: Error, event_labels: RefusalEvent },
    /// The ticket is used outside of its binding, and is revoked.
    Misuse(Arc<Ticket>),
}

/// How an event is closed.
enum Closing {
    Done(Result<Delivered, Error>),
    /// The ticket changed since it was read. The event is open again.
    Changed(Box<OpenEvent>),
}

impl Broker {
    /// Redeems a ticket. Consuming and recording are one step.
    ///
    /// # Errors
    /// `ticket_*`, `rate_limited`, `audit_unavailable`, `unauthenticated`, `not_pod_bound`, `token_review_unavailable`,
    /// `unrenderable`, `secret_not_found`, `invalid_request`, `internal`. Only the `Ok` consumes the ticket, and only
    /// `ticket_misuse` revokes it. After [`Error::Dropped`] it is not known whether it is consumed.
    pub async fn redeem(&self, redeem: &Redeem) -> Result<Delivered, Error> {
        let _running = self.start_verb();
        let mut event =
            OpenEvent::new(&self.stages.audit, redeem.context.event(EventType::TicketFailed, Outcome::Failed));
        let admitted = match self.admit(redeem) {
            Ok(admitted) => admitted,
            Err(error) => {
                event.discard();
                return Err(error);
            }
        };
        for _ in 0..ATTEMPTS {
            let closed = match self.check(&admitted, redeem).await {
                Ok(redeemable) => self.consume(redeemable, event, redeem).await,
                Err(NotRedeemed::Misuse(ticket)) => self.revoke_misused(&ticket, event).await,
                Err(NotRedeemed::Recorded { ticket, error, event_labels }) => {
                    return Err(self.record_refusal(&ticket, error, event_labels, event, redeem).await);
                }
                Err(NotRedeemed::Unrecorded(error)) => {
                    event.discard();
                    return Err(error);
                }
            };
            match closed {
                Closing::Done(result) => return result,
                Closing::Changed(again) => event = *again,
            }
        }
        event.discard();
        Err(Code::AuditUnavailable.into())
    }

    /// Checks everything, and renders the bundle. Changes nothing.
    async fn check(&self, admitted: &Admitted<'_>, redeem: &Redeem) -> Result<Redeemable, NotRedeemed> {
        let Admitted { token, is_charged } = *admitted;
        let at = self.stages.clock.now();
        let presented = self.stages.tickets.present(token, redeem.repeats.as_ref(), at);
        let presented = presented.instrument(Stage::Tickets.span()).await;
        let Presented { ticket, sealed, redeemed_at } = match presented {
            Ok(presented) => presented,
            Err(refused) => return Err(self.not_presented(refused, token, redeem.context.source_ip)),
        };
        if is_charged {
            self.failures.refund(&ipv6_prefix(redeem.context.source_ip));
        }
        match self.is_bound_to(&ticket, redeem).await {
            Ok(true) => {}
            Ok(false) => {
                return Err(match redeemed_at {
                    // The ticket is consumed already, so revoking it would change nothing.
                    Some(at) => self.rejected(&Rejection::Redeemed { at }, ticket),
                    None => NotRedeemed::Misuse(ticket),
                });
            }
            Err(error) if ticket.bind_to == BindTo::Ip => return Err(NotRedeemed::failed(error, ticket)),
            // The failed authentication is in the log already.
            Err(error) => return Err(NotRedeemed::Unrecorded(error)),
        }
        let opened = self.stages.tickets.sealer.open(&sealed, token).map_err(|_| Error::Plain(Code::Internal));
        let rendered = opened.and_then(|bundle| {
            let rendered = Stage::Render.span().in_scope(|| render::render(&bundle, &redeem.rendering))?;
            Ok(Delivered::of(rendered, bundle, None))
        });
        match rendered {
            Ok(delivered) => Ok(Redeemable { ticket, delivered, at, is_replay: redeemed_at.is_some() }),
            Err(error) => Err(NotRedeemed::failed(error, ticket)),
        }
    }

    /// Consumes the ticket and records it, in one step.
    async fn consume(&self, redeemable: Redeemable, mut event: OpenEvent, redeem: &Redeem) -> Closing {
        let Redeemable { ticket, delivered, at, is_replay } = redeemable;
        if is_replay {
            return Closing::Done(self.replay(&ticket, delivered, event, redeem).await);
        }
        describe(&mut event, &ticket);
        (event.kind, event.outcome, event.reason) = (EventType::TicketRedeemed, Outcome::Ok, None);
        let replay = redeem.repeats.as_ref().map(|key| Box::new(key.digest(ticket.id)));
        match event.close_with(self.stages.tickets.store.ending(ticket.id, Ending::Redeemed { at, replay })).await {
            Ok(()) => {
                self.stages.metrics.count_redemption(RedemptionOutcome::Redeemed);
                Closing::Done(Ok(delivered))
            }
            Err(error) => error.into(),
        }
    }

    /// The same redeemer repeats a lost download. The ticket is consumed already, and only the event is new. It counts as a
    /// request of the caller who asked for the ticket.
    async fn replay(
        &self,
        ticket: &Ticket,
        delivered: Delivered,
        mut event: OpenEvent,
        redeem: &Redeem,
    ) -> Result<Delivered, Error> {
        if !self.callers.charge(ticket.caller.quota_identity()) {
            let reason = Code::RateLimited.as_str();
            self.aggregated.add(EventType::TicketFailed, Outcome::Failed, reason, redeem.context.source_ip);
            event.discard();
            return Err(Code::RateLimited.into());
        }
        describe(&mut event, ticket);
        (event.kind, event.outcome, event.reason) = (EventType::TicketRedeemed, Outcome::Ok, Some("replay"));
        event.close().await?;
        self.stages.metrics.count_redemption(RedemptionOutcome::Replayed);
        Ok(delivered)
    }

    /// Whether the redeemer satisfies the ticket's binding. With `bindTo: identity`, the address does not matter, and a missing or
    /// refused token is an error that does not revoke the ticket.
    async fn is_bound_to(&self, ticket: &Ticket, redeem: &Redeem) -> Result<bool, Error> {
        match ticket.bind_to {
            BindTo::None => Ok(true),
            BindTo::Ip => self.is_from_bound_address(ticket, &redeem.context).await,
            BindTo::Identity => {
                let caller = self.authenticate(redeem.bearer.as_ref(), &redeem.context).await?;
                Ok(caller.identity() == ticket.caller.identity())
            }
        }
    }

    /// Whether a request comes from the address that asked for the ticket, or from another address of the same pod: a dual-stack
    /// client chooses a family for each connection. The pod is looked up only if the addresses differ.
    async fn is_from_bound_address(&self, ticket: &Ticket, context: &Context) -> Result<bool, Error> {
        if !context.source_is_known {
            return Ok(false);
        }
        if ticket.source_ip == context.source_ip {
            return Ok(true);
        }
        Ok(self.pod_addresses(&ticket.caller).await?.contains(&context.source_ip))
    }

    /// Whether the ticket is looked up. An ID that no replica created is charged to its address first. A genuine
    /// ID costs nothing, unless it was refused a moment ago and the address has reached its failure limit.
    fn admit<'r>(&self, redeem: &'r Redeem) -> Result<Admitted<'r>, Error> {
        let source_ip = redeem.context.source_ip;
        let Some(token) = &redeem.token else { return Err(self.unknown(None, source_ip)) };
        let address = ipv6_prefix(source_ip);
        let event_labels = if !self.stages.tickets.ids.recognises(token) {
            if self.failures.charge(address) {
                return Ok(Admitted { token, is_charged: true });
            }
            self.stages.metrics.count_redemption(RedemptionOutcome::Unknown);
            UNKNOWN
        } else if self.failures.is_exhausted(&address)
            && let Some(event_labels) = self.recent_refusals.reason(token.ticket_id())
        {
            event_labels
        } else {
            return Ok(Admitted { token, is_charged: false });
        };
        let (kind, outcome, reason) = event_labels;
        self.aggregated.add(kind, outcome, reason, source_ip);
        Err(Code::RateLimited.into())
    }

    fn not_presented(&self, refused: NotPresented, token: &TicketToken, source_ip: IpAddr) -> NotRedeemed {
        match refused {
            NotPresented::Refused { rejection, ticket: Some(ticket) } => self.rejected(&rejection, ticket),
            NotPresented::Refused { ticket: None, .. } => NotRedeemed::Unrecorded(self.unknown(Some(token), source_ip)),
            NotPresented::Unavailable => NotRedeemed::Unrecorded(Code::AuditUnavailable.into()),
        }
    }

    /// The same answer for an unknown id and for a wrong key. It is counted.
    fn unknown(&self, token: Option<&TicketToken>, source_ip: IpAddr) -> Error {
        let (kind, outcome, reason) = UNKNOWN;
        self.stages.metrics.count_redemption(RedemptionOutcome::Unknown);
        self.aggregated.add(kind, outcome, reason, source_ip);
        let charged = match token {
            // Charged before the look-up.
            Some(token) if !self.stages.tickets.ids.recognises(token) => true,
            Some(token) => {
                self.recent_refusals.record(token.ticket_id(), UNKNOWN);
                self.failures.charge(ipv6_prefix(source_ip))
            }
            None => self.failures.charge(ipv6_prefix(source_ip)),
        };
        if charged { Code::TicketUnknown.into() } else { Code::RateLimited.into() }
    }

    /// Revokes a ticket that is used outside of its binding.
    async fn revoke_misused(&self, ticket: &Ticket, mut event: OpenEvent) -> Closing {
        describe(&mut event, ticket);
        (event.kind, event.outcome) = (EventType::TicketRejected, Outcome::Denied);
        event.reason = Some(RedemptionOutcome::Misuse.as_str());
        match event.close_with(self.stages.tickets.store.ending(ticket.id, Ending::Revoked)).await {
            Ok(()) => {
                self.stages.metrics.count_redemption(RedemptionOutcome::Misuse);
                Closing::Done(Err(Code::TicketMisuse.into()))
            }
            Err(error) => error.into(),
        }
    }

    /// The client has the key, and gets the outcome of the ticket.
    fn rejected(&self, rejection: &Rejection, ticket: Arc<Ticket>) -> NotRedeemed {
        let (outcome, error) = match rejection {
            Rejection::Unknown => (RedemptionOutcome::Unknown, Code::TicketUnknown.into()),
            Rejection::Redeemed { at } => (RedemptionOutcome::AlreadyRedeemed, Error::TicketRedeemed { at: *at }),
            Rejection::Expired => (RedemptionOutcome::Expired, Code::TicketExpired.into()),
            Rejection::Revoked => (RedemptionOutcome::Revoked, Code::TicketRevoked.into()),
        };
        self.stages.metrics.count_redemption(outcome);
        NotRedeemed::Recorded {
            ticket,
            error,
            event_labels: (EventType::TicketRejected, Outcome::Denied, outcome.as_str()),
        }
    }

    /// Records a refusal that changes nothing. If its address was refused too often, it is only counted, so that nobody can fill
    /// the log with one URL.
    async fn record_refusal(
        &self,
        ticket: &Ticket,
        error: Error,
        event_labels: RefusalEvent,
        mut event: OpenEvent,
        redeem: &Redeem,
    ) -> Error {
        let source_ip = redeem.context.source_ip;
        let (kind, outcome, reason) = event_labels;
        self.recent_refusals.record(ticket.id, event_labels);
        if !self.failures.charge(ipv6_prefix(source_ip)) {
            self.aggregated.add(kind, outcome, reason, source_ip);
            event.discard();
            return Code::RateLimited.into();
        }
        describe(&mut event, ticket);
        (event.kind, event.outcome, event.reason) = (kind, outcome, Some(reason));
        self.record_refused(event).await.err().map_or(error, Error::from)
    }
}

impl NotRedeemed {
    fn failed(error: Error, ticket: Arc<Ticket>) -> Self {
        let event_labels = (EventType::TicketFailed, Outcome::Failed, error.code().as_str());
        Self::Recorded { ticket, error, event_labels }
    }
}

impl From<CommitError<Box<OpenEvent>>> for Closing {
    fn from(error: CommitError<Box<OpenEvent>>) -> Self {
        match error {
            CommitError::Rejected(event) => Self::Changed(event),
            CommitError::Failed(_) => Self::Done(Err(Code::AuditUnavailable.into())),
            CommitError::Unknown(_) => Self::Done(Err(Error::Dropped)),
        }
    }
}

/// Names a ticket in an event. `caller` is the caller who asked for the ticket; `source_ip` stays that of the request.
pub(super) fn describe(event: &mut Event, ticket: &Ticket) {
    event.caller = Some(ticket.caller.clone());
    event.repo = Some(ticket.repo.clone());
    event.branch = Some(ticket.branch.clone());
    event.policies = ticket.policies.iter().map(|policy| policy.name.to_string()).collect();
    event.keys.clone_from(&ticket.keys);
    event.ticket_id = Some(ticket.id);
    event.secrets.clone_from(&ticket.secrets);
}
