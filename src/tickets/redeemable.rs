//! Finds the ticket of a presented token and checks whether it can be redeemed.

use super::port::{REPLAY_WINDOW, Rejection, StoredTicket, TicketState, TicketStore, TicketStoreError};
use super::seal::TicketSealer;
use super::sealed_bundle::SealedBundle;
use super::ticket::{Ticket, saturating_add};
use super::ticket_id_mac::TicketIdMac;
use crate::model::idempotency_key::IdempotencyKey;
use crate::model::ticket::TicketToken;
use crate::sealing::digest;
use jiff::Timestamp;
use std::sync::Arc;

/// The ticket store, with what seals its tickets and generates their IDs.
pub struct Tickets {
    /// Stores sealed tickets.
    pub store: Arc<dyn TicketStore>,
    /// Seals and opens bundles.
    pub sealer: TicketSealer,
    /// Generates tokens and verifies their IDs.
    pub ids: TicketIdMac,
}

/// A ticket that can be redeemed with the presented token.
#[derive(Debug)]
pub struct RedeemableTicket {
    /// The ticket without its secrets.
    pub ticket: Arc<Ticket>,
    /// The sealed bundle.
    pub sealed: SealedBundle,
    /// The time of the first redemption, if this request repeats an interrupted download. `None` if the ticket is waiting.
    pub redeemed_at: Option<Timestamp>,
}

/// Why [`Tickets::find_redeemable`] returns no ticket.
#[derive(Debug)]
pub enum RedeemError {
    /// The ticket cannot be redeemed.
    Refused {
        /// The reason.
        rejection: Rejection,
        /// The ticket, if the token has its key.
        ticket: Option<Arc<Ticket>>,
    },
    /// The ticket store cannot be reached.
    Unavailable,
}

impl From<TicketStoreError> for RedeemError {
    fn from(_: TicketStoreError) -> Self {
        Self::Unavailable
    }
}

impl Tickets {
    /// Returns the ticket of a token if it can be redeemed at `now`: it is waiting, or it was redeemed within [`REPLAY_WINDOW`]
    /// with the same `Idempotency-Key`. Changes nothing.
    ///
    /// # Errors
    /// See [`RedeemError`].
    pub async fn find_redeemable(
        &self,
        token: &TicketToken,
        idempotency_key: Option<&IdempotencyKey>,
        now: Timestamp,
    ) -> Result<RedeemableTicket, RedeemError> {
        let unknown = RedeemError::Refused { rejection: Rejection::Unknown, ticket: None };
        let found = self.store.find(token.ticket_id()).await?.filter(|found| found.sealed.matches_key_of(token));
        let Some(StoredTicket { ticket, sealed, state }) = found else { return Err(unknown) };
        // Tickets beyond their retention are unknown, even if `tidy` has not deleted them yet.
        if saturating_add(ticket.expires_at, self.store.state_retention()) <= now {
            return Err(unknown);
        }
        let is_unexpired = now < ticket.expires_at;
        let redeemed_at = match state {
            TicketState::Waiting if is_unexpired => Ok(None),
            TicketState::Waiting | TicketState::Expired => Err(Rejection::Expired),
            TicketState::Revoked => Err(Rejection::Revoked),
            TicketState::Redeemed { at, replay_digest } => {
                let is_same_key = replay_digest
                    .zip(idempotency_key)
                    .is_some_and(|(stored, key)| digest::constant_time_eq(&stored, &key.digest(ticket.id)));
                if is_same_key && is_unexpired && now < saturating_add(at, REPLAY_WINDOW) && sealed.size() > 0 {
                    Ok(Some(at))
                } else {
                    Err(Rejection::Redeemed { at })
                }
            }
        };
        let ticket = Arc::new(ticket);
        match redeemed_at {
            Ok(redeemed_at) => Ok(RedeemableTicket { ticket, sealed, redeemed_at }),
            Err(rejection) => Err(RedeemError::Refused { rejection, ticket: Some(ticket) }),
        }
    }
}
