//! A token is presented: what its bearer may know of the ticket, and whether it may be redeemed.

use super::{Found, REPLAYED_FOR, Rejection, State, Ticket, Tickets, Unavailable, later};
use crate::model::idempotency_key::IdempotencyKey;
use crate::model::ticket::TicketToken;
use crate::sealing::digest;
use jiff::Timestamp;
use std::sync::Arc;

/// A ticket whose key is proven and whose bundle may be handed over.
#[derive(Debug)]
pub struct Presented {
    /// The ticket.
    pub ticket: Arc<Ticket>,
    /// Its bundle.
    pub sealed: super::Sealed,
    /// When it was redeemed: this is the same redeemer, who repeats a lost download. Nothing where it waits.
    pub redeemed_at: Option<Timestamp>,
}

/// Why it may not.
#[derive(Debug)]
pub enum NotPresented {
    /// There is nothing to hand over.
    Refused {
        /// Why.
        rejection: Rejection,
        /// Which, where the key was proven.
        ticket: Option<Arc<Ticket>>,
    },
    /// The tickets cannot be asked.
    Unavailable,
}

impl From<Unavailable> for NotPresented {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

impl Tickets {
    /// Looks for the ticket of a token, and what it is good for now. Nothing changes by it.
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
        // Nobody needs whoever forgets tickets to have come by.
        if later(ticket.expires_at, self.store.remembered_for()) <= now {
            return Err(unknown);
        }
        let in_time = now < ticket.expires_at;
        let judged = match state {
            State::Waiting if in_time => Ok(None),
            State::Waiting | State::Expired => Err(Rejection::Expired),
            State::Revoked => Err(Rejection::Revoked),
            State::Redeemed { at, replay } => {
                let same =
                    replay.zip(repeats).is_some_and(|(kept, shown)| digest::equal(&kept, &shown.digest(ticket.id)));
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
