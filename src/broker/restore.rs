//! Revokes the tickets that may have been redeemed after a backup, when the database was restored from this backup.

use super::error::Error;
use super::redeem::describe_ticket;
use super::tickets::end_waiting_tickets;
use crate::audit::{AuditLog, Event, EventCommitError, OpenEvent};
use crate::metrics::labels::{EventType, Outcome};
use crate::tickets::{FinalState, Ticket, TicketStore};
use crate::wire::problem::Code;
use jiff::Timestamp;

/// The reason in the events.
const REASON: &str = "restored";

/// Revokes every waiting ticket that had not expired at the time of the backup, with an event for each, and returns the number of
/// revoked tickets. A ticket that was redeemed after the backup is waiting again in the restored database.
///
/// # Errors
/// `database_unavailable`, `audit_unavailable`. Some tickets may be revoked then; a repeated call revokes the others.
pub async fn revoke_after_restore(
    store: &dyn TicketStore,
    audit: &AuditLog,
    backup: Timestamp,
) -> Result<usize, Error> {
    let mut event = OpenEvent::new(audit, Event::new(EventType::DatabaseRestored, Outcome::Ok));
    // Tickets that had expired by the time of the backup cannot have been redeemed since.
    let revoked = end_waiting_tickets(store, backup, |_| true, |ticket| revoke(store, audit, ticket)).await?;
    event.count = Some(revoked as u64);
    event.close().await.map_err(|_| Error::Plain(Code::AuditUnavailable))?;
    Ok(revoked)
}

/// Revokes a ticket. False if it was no longer waiting.
async fn revoke(store: &dyn TicketStore, audit: &AuditLog, ticket: Ticket) -> Result<bool, Error> {
    let mut event = OpenEvent::new(audit, Event::new(EventType::TicketRevoked, Outcome::Ok));
    describe_ticket(&mut event, &ticket);
    event.reason = Some(REASON);
    match event.close_with(store.step_to_end(ticket.id, FinalState::Revoked)).await {
        Ok(()) => Ok(true),
        Err(EventCommitError::Rejected(event)) => {
            event.discard();
            Ok(false)
        }
        Err(EventCommitError::Failed(_) | EventCommitError::Unknown(_)) => Err(Code::AuditUnavailable.into()),
    }
}
