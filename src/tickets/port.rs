//! Stores of waiting tickets: the trait, and what is stored.

use super::caller_limits::CallerLimits;
use super::sealed::Sealed;
use super::ticket::{ListPosition, Ticket};
use crate::database::Step;
use crate::model::caller::Identity;
use crate::model::ticket::TicketId;
use crate::model::ticket_limit::TicketLimit;
use async_trait::async_trait;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Maximum size of sealed bundles of one caller, in bytes. In memory a caller is an issuer and subject, with any
/// number of tokens; in a database it is one token.
pub const MAX_BYTES_PER_CALLER: usize = 32 * 1024 * 1024;
/// How long the same client may repeat an interrupted download.
pub const REPLAYED_FOR: Duration = Duration::from_secs(30);

/// Why a ticket is not redeemed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such ticket, or its key is not proven. Both have the same answer.
    #[error("no such ticket")]
    Unknown,
    /// It was redeemed before.
    #[error("redeemed before")]
    Redeemed {
        /// The time of redemption.
        at: Timestamp,
    },
    /// It has expired.
    #[error("expired")]
    Expired,
    /// It was revoked or burned.
    #[error("revoked")]
    Revoked,
}

/// A stored ticket, in any state.
#[derive(Debug, Clone)]
pub struct Found {
    /// The ticket without its secrets.
    pub ticket: Ticket,
    /// The bundle, which may be deleted, and the verifier of its key.
    pub sealed: Sealed,
    /// The state of the ticket.
    pub state: TicketState,
}

/// The state of a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TicketState {
    /// It can be redeemed until it expires.
    Waiting,
    /// It was redeemed.
    Redeemed {
        /// The time of redemption.
        at: Timestamp,
        /// The digest of the `Idempotency-Key` that a repeated download must have. `None`: it cannot be repeated.
        replay: Option<[u8; 32]>,
    },
    /// It has expired.
    Expired,
    /// It was revoked or burned.
    Revoked,
}

/// How a ticket ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It is redeemed.
    Redeemed {
        /// The time of redemption.
        at: Timestamp,
        /// The digest that a repeated download must have. `None`: the bundle is deleted at once. Boxed, because
        /// few tickets have one and all are kept.
        replay: Option<Box<[u8; 32]>>,
    },
    /// It has expired.
    Expired,
    /// An administrator revoked it, or it was burned because its binding was violated.
    Revoked,
}

/// The tickets cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tickets are unavailable")]
pub struct Unavailable;

/// A store of tickets. Its steps are committed together with their audit events.
#[async_trait]
pub trait TicketStore: Send + Sync + 'static {
    /// Whether the caller may have another ticket, as far as is known without I/O. Called before secrets are read.
    /// The step decides.
    fn has_room_for(&self, caller: &Identity) -> bool;

    /// Stores a ticket. The step is rejected if the caller has too many live tickets, or too many bytes, or as many tickets as one
    /// of the limits allows; then the limits say so.
    fn issuing(&self, ticket: &Ticket, sealed: Sealed, limits: Option<Arc<CallerLimits>>) -> Step;

    /// Whether the caller has as many tickets as one of the limits allows. Asked before secrets are read. The step decides.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn has_reached(&self, caller: &Identity, limits: &[TicketLimit]) -> Result<bool, Unavailable>;

    /// Ends a ticket. The step is rejected unless the ticket is waiting. Of concurrent endings exactly one succeeds.
    fn ending(&self, id: TicketId, ending: Ending) -> Step;

    /// The ticket of this id.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn find(&self, id: TicketId) -> Result<Option<Found>, Unavailable>;

    /// Tickets that wait at this time, newest first, after a place.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn list(&self, now: Timestamp, after: Option<ListPosition>, limit: usize)
    -> Result<Vec<Ticket>, Unavailable>;

    /// Unredeemed tickets that have expired and must be ended. A bounded number.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn overdue(&self, now: Timestamp) -> Result<Vec<Ticket>, Unavailable>;

    /// Deletes bundles whose download can no longer be repeated, and tickets that ended long ago.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn forget(&self, now: Timestamp) -> Result<(), Unavailable>;

    /// The number of waiting tickets.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn waiting(&self) -> Result<usize, Unavailable>;

    /// The number of tickets that would be lost if this process ended now.
    fn lost_on_exit(&self) -> usize;

    /// How long after its expiry the state of a ticket is kept.
    fn remembered_for(&self) -> Duration;
}
