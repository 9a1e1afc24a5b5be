//! Redeem: whoever holds a one-time download URL fetches the bundle, once.

use super::context::Context;
use super::error::Error;
use super::pipeline::{Broker, Delivered};
use super::shown_in_vain::Why;
use crate::audit::{CommitError, Event, OpenEvent};
use crate::metrics::labels::{EventType, Outcome, Redemption};
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
use std::net::IpAddr;
use std::sync::Arc;
use tracing::Instrument as _;

/// How often a redeemer who lost a race looks again at what became of the ticket.
const LOOKS: usize = 5;

/// What an event says of a ticket that is unknown, or whose key is not proven.
const UNKNOWN: Why = (EventType::TicketRejected, Outcome::Denied, Redemption::Unknown.as_str());

/// A request for a bundle.
pub struct Redeem {
    /// What the URL held; nothing where that was not even the spelling of a ticket.
    pub token: Option<TicketToken>,
    /// How the bundle is to be rendered.
    pub rendering: Rendering,
    /// The redeemer's own token, which a ticket that is bound to an identity asks for.
    pub bearer: Option<SecretValue>,
    /// What tells a repeated download from another one.
    pub repeats: Option<IdempotencyKey>,
    /// From where.
    pub context: Context,
}

/// How a look at a ticket ends.
enum Looked {
    /// The bundle may leave.
    Delivered(Delivered),
    /// It may not.
    Refused(Error),
    /// The ticket is no longer what it was when it was looked at.
    Changed(Box<OpenEvent>),
}

impl Broker {
    /// Redeems a ticket. Consuming and recording are one step.
    ///
    /// # Errors
    /// See api.md's list for `/v1/downloads/{ticket}`. The ticket is consumed only by the `Ok`, and burned only by
    /// `ticket_misuse`. Of [`Error::Dropped`] nobody knows.
    pub async fn redeem(&self, redeem: &Redeem) -> Result<Delivered, Error> {
        let _under_way = self.under_way();
        let mut event =
            OpenEvent::new(&self.stages.audit, redeem.context.event(EventType::TicketFailed, Outcome::Failed));
        let Some(token) = &redeem.token else {
            event.discard();
            return Err(self.unknown(None, redeem.context.source_ip));
        };
        if let Err(error) = self.before_look_up(token, redeem.context.source_ip) {
            event.discard();
            return Err(error);
        }
        for _ in 0..LOOKS {
            match self.look(token, event, redeem).await {
                Looked::Delivered(delivered) => return Ok(delivered),
                Looked::Refused(error) => return Err(error),
                Looked::Changed(again) => event = *again,
            }
        }
        event.discard();
        Err(Code::AuditUnavailable.into())
    }

    /// Everything that can refuse, and then the one step that consumes the ticket.
    async fn look(&self, token: &TicketToken, mut event: OpenEvent, redeem: &Redeem) -> Looked {
        let now = self.stages.clock.now();
        let presented = self.stages.tickets.present(token, redeem.repeats.as_ref(), now);
        let presented = presented.instrument(Stage::Tickets.span()).await;
        let Presented { ticket, sealed, redeemed_at } = match presented {
            Ok(presented) => presented,
            Err(refused) => return Looked::Refused(self.not_presented(refused, token, event, redeem).await),
        };
        if !self.stages.tickets.ids.recognises(token) {
            self.failures.refund(&ipv6_prefix(redeem.context.source_ip));
        }
        describe(&mut event, &ticket);
        (event.kind, event.outcome) = (EventType::TicketFailed, Outcome::Failed);
        match self.is_bound_to(&ticket, redeem).await {
            Ok(true) => {}
            Ok(false) => return self.misused(&ticket, redeemed_at, event, redeem).await,
            Err(error) if ticket.bind_to == BindTo::Ip => {
                event.reason = Some(error.code().as_str());
                return Looked::Refused(self.record_refusal(error, event, redeem).await);
            }
            Err(error) => {
                // Who could not be asked, or showed no good token, is in the log already.
                event.discard();
                return Looked::Refused(error);
            }
        }
        let opened = self.stages.tickets.sealer.open(&sealed, token).map_err(|_| Error::Plain(Code::Internal));
        let rendered = opened.and_then(|bundle| {
            let rendered = Stage::Render.span().in_scope(|| render::render(&bundle, &redeem.rendering))?;
            Ok(Delivered::of(rendered, bundle))
        });
        let delivered = match rendered {
            Ok(delivered) => delivered,
            Err(error) => {
                event.reason = Some(error.code().as_str());
                return Looked::Refused(self.record_refusal(error, event, redeem).await);
            }
        };
        (event.kind, event.outcome) = (EventType::TicketRedeemed, Outcome::Ok);
        if redeemed_at.is_some() {
            return self.replay(delivered, event, &ticket, redeem).await;
        }
        let replay = redeem.repeats.as_ref().map(|key| Box::new(key.digest(ticket.id)));
        let ending = self.stages.tickets.store.ending(ticket.id, Ending::Redeemed { at: now, replay });
        match event.close_with(ending).await {
            Ok(()) => {
                self.stages.metrics.redemption(Redemption::Redeemed);
                Looked::Delivered(delivered)
            }
            Err(CommitError::Rejected(event)) => Looked::Changed(event),
            Err(CommitError::Failed(_)) => Looked::Refused(Code::AuditUnavailable.into()),
            Err(CommitError::Unknown(_)) => Looked::Refused(Error::Dropped),
        }
    }

    /// The same redeemer repeats a lost download. The ticket is consumed already; only the event is new. So it counts as a
    /// request of who asked for the ticket.
    async fn replay(&self, delivered: Delivered, mut event: OpenEvent, ticket: &Ticket, redeem: &Redeem) -> Looked {
        if !self.callers.charge(ticket.caller.account()) {
            let reason = Code::RateLimited.as_str();
            self.aggregated.add(EventType::TicketFailed, Outcome::Failed, reason, redeem.context.source_ip);
            event.discard();
            return Looked::Refused(Code::RateLimited.into());
        }
        event.reason = Some("replay");
        match event.close().await {
            Ok(()) => {
                self.stages.metrics.redemption(Redemption::Replayed);
                Looked::Delivered(delivered)
            }
            Err(error) => Looked::Refused(error.into()),
        }
    }

    /// Whether the redeemer shares with the caller what the ticket is bound to. An identity decides alone, wherever it
    /// comes from; the bearer of no good token is asked for one, and burns nothing.
    async fn is_bound_to(&self, ticket: &Ticket, redeem: &Redeem) -> Result<bool, Error> {
        match ticket.bind_to {
            BindTo::None => Ok(true),
            BindTo::Ip => self.is_from_its_address(ticket, &redeem.context).await,
            BindTo::Identity => {
                let caller = self.authenticate(redeem.bearer.as_ref(), &redeem.context).await?;
                Ok(caller.identity() == ticket.caller.identity())
            }
        }
    }

    /// Whether a request comes from the address that asked, or from another one of the same pod: a dual-stack client chooses
    /// a family for each connection. The pod is looked at only where the addresses differ.
    async fn is_from_its_address(&self, ticket: &Ticket, context: &Context) -> Result<bool, Error> {
        if !context.source_is_known {
            return Ok(false);
        }
        if ticket.source_ip == context.source_ip {
            return Ok(true);
        }
        Ok(self.pod_addresses(&ticket.caller).await?.contains(&context.source_ip))
    }

    /// Whether the ticket of a token is looked for. An id that no replica has made is charged to its address beforehand. One
    /// that a replica has made costs nothing, unless it was shown in vain just now from an address that has nothing left.
    fn before_look_up(&self, token: &TicketToken, source_ip: IpAddr) -> Result<(), Error> {
        let address = ipv6_prefix(source_ip);
        let why = if !self.stages.tickets.ids.recognises(token) {
            if self.failures.charge(address) {
                return Ok(());
            }
            self.stages.metrics.redemption(Redemption::Unknown);
            UNKNOWN
        } else if self.failures.is_exhausted(&address)
            && let Some(why) = self.shown_in_vain.lately(token.ticket_id())
        {
            why
        } else {
            return Ok(());
        };
        let (kind, outcome, reason) = why;
        self.aggregated.add(kind, outcome, reason, source_ip);
        Err(Code::RateLimited.into())
    }

    async fn not_presented(
        &self,
        refused: NotPresented,
        token: &TicketToken,
        mut event: OpenEvent,
        redeem: &Redeem,
    ) -> Error {
        match refused {
            NotPresented::Refused { rejection, ticket: Some(ticket) } => {
                describe(&mut event, &ticket);
                self.reject(rejection, event, redeem).await
            }
            NotPresented::Refused { ticket: None, .. } => {
                event.discard();
                self.unknown(Some(token), redeem.context.source_ip)
            }
            NotPresented::Unavailable => {
                event.discard();
                Code::AuditUnavailable.into()
            }
        }
    }

    /// One fixed answer, whether the id is unknown or its key not proven; summed in the audit log.
    fn unknown(&self, token: Option<&TicketToken>, source_ip: IpAddr) -> Error {
        let (kind, outcome, reason) = UNKNOWN;
        self.stages.metrics.redemption(Redemption::Unknown);
        self.aggregated.add(kind, outcome, reason, source_ip);
        let charged = match token {
            // It was charged before it was looked for.
            Some(token) if !self.stages.tickets.ids.recognises(token) => true,
            Some(token) => {
                self.shown_in_vain.note(token.ticket_id(), UNKNOWN);
                self.failures.charge(ipv6_prefix(source_ip))
            }
            None => self.failures.charge(ipv6_prefix(source_ip)),
        };
        if charged { Code::TicketUnknown.into() } else { Code::RateLimited.into() }
    }

    /// Burns a ticket that is used in the wrong place. One that is redeemed already is past burning.
    async fn misused(
        &self,
        ticket: &Ticket,
        redeemed_at: Option<jiff::Timestamp>,
        mut event: OpenEvent,
        redeem: &Redeem,
    ) -> Looked {
        if let Some(at) = redeemed_at {
            return Looked::Refused(self.reject(Rejection::Redeemed { at }, event, redeem).await);
        }
        (event.kind, event.outcome) = (EventType::TicketRejected, Outcome::Denied);
        event.reason = Some(Redemption::Misuse.as_str());
        match event.close_with(self.stages.tickets.store.ending(ticket.id, Ending::Revoked)).await {
            Ok(()) => {
                self.stages.metrics.redemption(Redemption::Misuse);
                Looked::Refused(Code::TicketMisuse.into())
            }
            Err(CommitError::Rejected(mut event)) => {
                event.reason = None;
                Looked::Changed(event)
            }
            // Not recorded, so not done.
            Err(CommitError::Failed(_)) => Looked::Refused(Code::AuditUnavailable.into()),
            Err(CommitError::Unknown(_)) => Looked::Refused(Error::Dropped),
        }
    }

    /// Tells whoever proved the key what became of the ticket.
    async fn reject(&self, rejection: Rejection, mut event: OpenEvent, redeem: &Redeem) -> Error {
        let (outcome, error) = match rejection {
            Rejection::Unknown => (Redemption::Unknown, Code::TicketUnknown.into()),
            Rejection::Redeemed { at } => (Redemption::AlreadyRedeemed, Error::TicketRedeemed { at }),
            Rejection::Expired => (Redemption::Expired, Code::TicketExpired.into()),
            Rejection::Revoked => (Redemption::Revoked, Code::TicketRevoked.into()),
        };
        event.kind = EventType::TicketRejected;
        event.outcome = Outcome::Denied;
        event.reason = Some(outcome.as_str());
        self.stages.metrics.redemption(outcome);
        self.record_refusal(error, event, redeem).await
    }

    /// Records a refusal that changes nothing: alone, or in a sum where its address was refused too often, so that
    /// nobody can fill the log with one URL.
    async fn record_refusal(&self, error: Error, event: OpenEvent, redeem: &Redeem) -> Error {
        let source_ip = redeem.context.source_ip;
        if let Some(id) = event.ticket_id {
            self.shown_in_vain.note(id, (event.kind, event.outcome, event.reason.unwrap_or_default()));
        }
        if self.failures.charge(ipv6_prefix(source_ip)) {
            return self.record_refused(event).await.err().map_or(error, Error::from);
        }
        self.aggregated.add(event.kind, event.outcome, event.reason.unwrap_or_default(), source_ip);
        event.discard();
        Code::RateLimited.into()
    }
}

/// `caller` is who asked for the ticket; the event's `source_ip` stays that of the redeemer.
pub(super) fn describe(event: &mut Event, ticket: &Arc<Ticket>) {
    event.caller = Some(ticket.caller.clone());
    event.repo = Some(ticket.repo.clone());
    event.branch = Some(ticket.branch.clone());
    event.policies = ticket.policies.iter().map(|policy| policy.name.to_string()).collect();
    event.keys.clone_from(&ticket.keys);
    event.ticket_id = Some(ticket.id);
    event.secrets.clone_from(&ticket.secrets);
}
