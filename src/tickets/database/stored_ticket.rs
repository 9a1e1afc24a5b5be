//! Reads a ticket from a row of the table `tickets`.

use super::row_values::{EXPIRED, REDEEMED, WAITING};
use crate::database::{DatabaseError, Row};
use crate::model::ticket::TicketId;
use crate::tickets::port::{StoredTicket, TicketState, TicketStoreError};
use crate::tickets::sealed_bundle::SealedBundle;
use crate::tickets::ticket::{Ticket, from_microseconds};
use crate::tickets::ticket_codec;
use jiff::Timestamp;

/// Reads the ticket of a row that begins with the columns `details`, `verifier`, `bundle`, `state`, `ended_at` and `replay`. `None`
/// if a column cannot be decoded or belongs to another ticket.
pub fn read_ticket(id: TicketId, row: &Row) -> Result<Option<StoredTicket>, DatabaseError> {
    let encoded_ticket = row.optional_bytes(0)?.unwrap_or_default();
    let verifier = row.optional_bytes(1)?.unwrap_or_default();
    let ciphertext = row.optional_bytes(2)?.unwrap_or_default();
    let at = row.optional_number(4)?.map_or(Timestamp::MIN, from_microseconds);
    let replay_digest = row.optional_bytes(5)?.and_then(|digest| digest.try_into().ok());
    let state = match row.number(3)? {
        WAITING => TicketState::Waiting,
        REDEEMED => TicketState::Redeemed { at, replay_digest },
        EXPIRED => TicketState::Expired,
        _ => TicketState::Revoked,
    };
    let ticket = decode(&encoded_ticket).filter(|ticket| ticket.id == id);
    let (Some(ticket), Ok(verifier)) = (ticket, verifier.try_into()) else {
        tracing::error!(ticket = %id, "a ticket row in the database was modified");
        return Ok(None);
    };
    let sealed = SealedBundle { verifier, encoded_ticket: encoded_ticket.into(), ciphertext: ciphertext.into() };
    Ok(Some(StoredTicket { ticket, sealed, state }))
}

/// Decodes the column `details`.
pub fn decode(encoded_ticket: &[u8]) -> Option<Ticket> {
    ticket_codec::decode(encoded_ticket).ok()
}

/// Logs the error of the database.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub fn unavailable(error: DatabaseError) -> TicketStoreError {
    tracing::error!(kind = error.kind(), "tickets are unavailable");
    TicketStoreError
}
