//! Redeem: whoever holds a one-time download URL fetches the bundle, once.

use super::authenticate::fold;
use super::{Broker, Context, Delivered, Error};
use crate::audit::{Event, OpenEvent};
use crate::metrics::labels::{EventType, Outcome, Redemption};
use crate::model::binding::BindTo;
use crate::model::format::Rendering;
use crate::model::ticket::TicketToken;
use crate::render;
use crate::tickets::{Refused, Rejection, Ticket};
use crate::wire::problem::Code;
use std::net::IpAddr;
use std::sync::Arc;

/// A request for a bundle.
pub struct Redeem {
    /// What the URL held; nothing where that was not even the spelling of a ticket.
    pub token: Option<TicketToken>,
    /// How the bundle is to be rendered.
    pub rendering: Rendering,
    /// From where.
    pub context: Context,
}

impl Broker {
    /// Redeems a ticket. Runs to its end even if the redeemer hangs up: consuming and recording are one step.
    ///
    /// # Errors
    /// See api.md's list for `/v1/downloads/{ticket}`. The ticket is consumed only by the `Ok`, and burned only by
    /// `ticket_misuse`.
    pub async fn redeem(self: &Arc<Self>, redeem: Redeem) -> Result<Delivered, Error> {
        let broker = self.clone();
        tokio::spawn(async move { broker.redeem_to_the_end(&redeem).await })
            .await
            .unwrap_or(Err(Error::Plain(Code::Internal)))
    }

    async fn redeem_to_the_end(&self, redeem: &Redeem) -> Result<Delivered, Error> {
        let _under_way = self.under_way();
        let mut event =
            OpenEvent::new(&self.parts.audit, redeem.context.event(EventType::TicketFailed, Outcome::Failed));
        let now = self.parts.clock.now();
        let peeked = match &redeem.token {
            Some(token) => self.tickets.peek(token, now).map(|(ticket, sealed)| (token, ticket, sealed)),
            None => Err(Refused { rejection: Rejection::Unknown, ticket: None }),
        };
        let (token, ticket, sealed) = match peeked {
            Ok(waiting) => waiting,
            Err(Refused { ticket: None, .. }) => {
                event.discard();
                return Err(self.unknown(redeem.context.source_ip));
            }
            Err(Refused { rejection, ticket: Some(ticket) }) => {
                describe(&mut event, &ticket);
                return Err(self.reject(rejection, event, redeem).await);
            }
        };
        describe(&mut event, &ticket);
        if ticket.bind_to >= BindTo::Ip && ticket.source_ip != redeem.context.source_ip {
            return Err(self.burn(&ticket, event, redeem).await);
        }

        let opened = self.sealer.open(&sealed, token, &ticket).map_err(|_| Error::Plain(Code::Internal));
        let rendered = opened.and_then(|bundle| {
            let rendered = render::render(&bundle, &redeem.rendering)?;
            Ok(Delivered { rendered, versions: bundle.versions, stale: bundle.stale })
        });
        let redeemed = match rendered {
            Ok(redeemed) => redeemed,
            Err(error) => {
                event.reason = Some(error.code().as_str());
                return Err(self.record_refusal(error, event, redeem).await);
            }
        };

        if let Err(rejection) = self.tickets.take(ticket.id, now) {
            return Err(self.reject(rejection, event, redeem).await);
        }
        event.kind = EventType::TicketRedeemed;
        event.outcome = Outcome::Ok;
        if let Err(error) = event.close().await {
            self.tickets.put_back(ticket.id);
            return Err(error.into());
        }
        self.tickets.settle(ticket.id);
        self.parts.metrics.redemption(Redemption::Redeemed);
        Ok(redeemed)
    }

    /// One fixed answer, whether the id is unknown or its key not proven; summed in the audit log.
    fn unknown(&self, source_ip: IpAddr) -> Error {
        self.parts.metrics.redemption(Redemption::Unknown);
        self.summed.add(EventType::TicketRejected, Outcome::Denied, Redemption::Unknown.as_str(), source_ip);
        if self.failures.charge(fold(source_ip)) { Code::TicketUnknown.into() } else { Code::RateLimited.into() }
    }

    async fn burn(&self, ticket: &Ticket, mut event: OpenEvent, redeem: &Redeem) -> Error {
        if let Err(rejection) = self.tickets.revoke(ticket.id) {
            return self.reject(rejection, event, redeem).await;
        }
        event.kind = EventType::TicketRejected;
        event.outcome = Outcome::Denied;
        event.reason = Some(Redemption::Misuse.as_str());
        if let Err(error) = event.close().await {
            // Not recorded, so not done.
            self.tickets.put_back(ticket.id);
            return error.into();
        }
        self.tickets.settle(ticket.id);
        self.parts.metrics.redemption(Redemption::Misuse);
        Code::TicketMisuse.into()
    }

    /// Tells whoever proved the key what became of the ticket.
    async fn reject(&self, rejection: Rejection, mut event: OpenEvent, redeem: &Redeem) -> Error {
        let (outcome, error) = match rejection {
            Rejection::Unknown => (Redemption::Unknown, Code::TicketUnknown.into()),
            Rejection::Redeemed { at } => (Redemption::AlreadyRedeemed, Error::TicketRedeemed { at }),
            Rejection::Expired => (Redemption::Expired, Code::TicketExpired.into()),
            Rejection::Revoked => (Redemption::Revoked, Code::TicketRevoked.into()),
            Rejection::Misuse => (Redemption::Misuse, Code::TicketMisuse.into()),
        };
        event.kind = EventType::TicketRejected;
        event.outcome = Outcome::Denied;
        event.reason = Some(outcome.as_str());
        self.parts.metrics.redemption(outcome);
        self.record_refusal(error, event, redeem).await
    }

    /// Records a refusal that changes nothing: alone, or in a sum where its address was refused too often, so that
    /// nobody can fill the log with one URL.
    async fn record_refusal(&self, error: Error, event: OpenEvent, redeem: &Redeem) -> Error {
        let source_ip = redeem.context.source_ip;
        if self.failures.charge(fold(source_ip)) {
            return event.close().await.err().map_or(error, Error::from);
        }
        self.summed.add(event.kind, event.outcome, event.reason.unwrap_or_default(), source_ip);
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
