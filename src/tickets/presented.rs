//! Checks a presented token: whether its ticket may be redeemed, and what its holder may learn about it.

use super::issued_ids::IssuedIds;
use super::port::{Found, REPLAYED_FOR, Rejection, TicketState, TicketStore, Unavailable};
use super::seal::TicketSealer;
use super::sealed::Sealed;
use super::ticket::{Ticket, later};
use crate::model::idempotency_key::IdempotencyKey;
use crate::model::ticket::TicketToken;
use crate::sealing::digest;
use jiff::Timestamp;
use std::sync::Arc;

/// The tickets: where they are stored, and what seals them.
pub struct Tickets {
    /// The store.
    pub store: Arc<dyn TicketStore>,
    /// Seals and opens bundles.
    pub sealer: TicketSealer,
    /// Makes and recognises ids.
    pub ids: IssuedIds,
}

/// A ticket whose key is proven and whose bundle may be released.
#[derive(Debug)]
pub struct Presented {
    /// The ticket without its secrets.
    pub ticket: Arc<Ticket>,
    /// The sealed bundle.
    pub sealed: Sealed,
    /// The time of redemption, if the same client repeats an interrupted download. `None` if the ticket is
    /// unredeemed.
    pub redeemed_at: Option<Timestamp>,
}

/// Why a ticket is not presented.
#[derive(Debug)]
pub enum NotPresented {
    /// The ticket may not be redeemed.
    Refused {
        /// The reason.
        rejection: Rejection,
        /// The ticket, if the key was proven.
        ticket: Option<Arc<Ticket>>,
    },
    /// The tickets cannot be read.
    Unavailable,
}

impl From<Unavailable> for NotPresented {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

impl Tickets {
    /// Finds the ticket of a token, and checks whether it may be redeemed now. Changes nothing.
    ///
    /// # Errors
    /// See [`NotPresented`].
    pub async fn present(
        &self,
        token: &TicketToken,
        repeats: Option<&IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Presented, NotPresented> {
        let unknown = NotPresented::Refused { rejection: Rejection::Unknown, ticket: None };
        let found = self.store.find(token.ticket_id()).await?.filter(|found| found.sealed.is_proven_by(token));
        let Some(Found { ticket, sealed, state }) = found else { return Err(unknown) };
        // Expired tickets are unknown after this time even if the clean-up has not run yet.
        if later(ticket.expires_at, self.store.remembered_for()) <= now {
            return Err(unknown);
        }
        let in_time = now < ticket.expires_at;
        let judged = match state {
            TicketState::Waiting if in_time => Ok(None),
            TicketState::Waiting | TicketState::Expired => Err(Rejection::Expired),
            TicketState::Revoked => Err(Rejection::Revoked),
            TicketState::Redeemed { at, replay } => {
                let same = replay
                    .zip(repeats)
                    .is_some_and(|(kept, shown)| digest::constant_time_eq(&kept, &shown.digest(ticket.id)));
                if same && in_time && now < later(at, REPLAYED_FOR) && sealed.size() > 0 {
                    Ok(Some(at))
                } else {
                    Err(Rejection::Redeemed { at })
                }
            }
        };
        let ticket = Arc::new(ticket);
        match judged {
            Ok(redeemed_at) => Ok(Presented { ticket, sealed, redeemed_at }),
            Err(rejection) => Err(NotPresented::Refused { rejection, ticket: Some(ticket) }),
        }
    }
}
