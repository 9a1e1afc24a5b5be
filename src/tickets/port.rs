//! The trait of ticket stores, the states of a ticket, and the errors.

use super::caller_limits::CallerLimits;
use super::sealed_bundle::SealedBundle;
use super::ticket::{ListPosition, Ticket};
use crate::database::Step;
use crate::model::caller::Identity;
use crate::model::ticket::TicketId;
use crate::model::ticket_limit::TicketLimit;
use async_trait::async_trait;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Maximum total size of the sealed bundles of one caller, in bytes. A pod is counted by its UID. Other
/// callers are counted by issuer and subject in the memory store, and by token in the database store.
pub const MAX_BYTES_PER_CALLER: usize = 32 * 1024 * 1024;
/// How long after the redemption the same client may repeat an interrupted download.
pub const REPLAY_WINDOW: Duration = Duration::from_secs(30);

/// Why a ticket cannot be redeemed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no ticket with this ID, or the key of the token is wrong. Both give the same response.
    #[error("no such ticket")]
    Unknown,
    /// The ticket was redeemed before.
    #[error("redeemed before")]
    Redeemed {
        /// The time of redemption.
        at: Timestamp,
    },
    /// The ticket has expired.
    #[error("expired")]
    Expired,
    /// The ticket was revoked.
    #[error("revoked")]
    Revoked,
}

/// A stored ticket, in any state.
#[derive(Debug, Clone)]
pub struct StoredTicket {
    /// The ticket without its secrets.
    pub ticket: Ticket,
    /// The sealed bundle and the verifier of its key. The ciphertext is empty after the bundle is deleted.
    pub sealed: SealedBundle,
    /// The state of the ticket.
    pub state: TicketState,
}

/// The state of a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TicketState {
    /// The ticket can be redeemed until it expires.
    Waiting,
    /// It was redeemed.
    Redeemed {
        /// The time of redemption.
        at: Timestamp,
        /// The digest of the `Idempotency-Key` that a repeated download must send. `None`: the download cannot be repeated.
        replay_digest: Option<[u8; 32]>,
    },
    /// It has expired.
    Expired,
    /// It was revoked.
    Revoked,
}

/// The final state that a ticket is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinalState {
    /// It is redeemed.
    Redeemed {
        /// The time of redemption.
        at: Timestamp,
        /// The digest of the `Idempotency-Key` that a repeated download must send. `None`: the bundle is deleted at once.
        /// Boxed to save memory, because most tickets have none.
        replay_digest: Option<Box<[u8; 32]>>,
    },
    /// It has expired.
    Expired,
    /// It was revoked: by an administrator, or because a request violated its binding.
    Revoked,
}

/// The ticket store cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tickets are unavailable")]
pub struct TicketStoreError;

/// A store of tickets. A [`Step`] changes a ticket; the audit log commits it together with its event.
#[async_trait]
pub trait TicketStore: Send + Sync + 'static {
    /// False if it is known without I/O that the caller has the maximum number of live (waiting) tickets. A check before secrets
    /// are read; the step of [`Self::step_to_issue`] checks again and decides.
    fn has_room_for(&self, caller: &Identity) -> bool;

    /// A step that stores a ticket. It is rejected if the caller has the maximum number of live tickets or of bytes, if the
    /// bundles of all callers have their maximum size, or if one of `limits` is reached; only in the last case
    /// [`CallerLimits::is_reached`] becomes true.
    fn step_to_issue(&self, ticket: &Ticket, sealed: SealedBundle, limits: Option<Arc<CallerLimits>>) -> Step;

    /// Whether the caller has reached one of `limits`. A check before secrets are read; the step of [`Self::step_to_issue`] checks
    /// again and decides.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn has_reached_limit(&self, caller: &Identity, limits: &[TicketLimit]) -> Result<bool, TicketStoreError>;

    /// A step that sets the final state of a waiting ticket. It is rejected if the ticket is not waiting, so of concurrent
    /// steps for one ticket exactly one succeeds.
    fn step_to_end(&self, id: TicketId, final_state: FinalState) -> Step;

    /// Returns the ticket with this ID, in any state. `None` if there is none, or if it was deleted after its end.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn find(&self, id: TicketId) -> Result<Option<StoredTicket>, TicketStoreError>;

    /// Lists tickets that are waiting and not expired at `now`, newest first, starting behind `after`. Fewer than `limit` mean the
    /// end of the list.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn list_waiting(
        &self,
        now: Timestamp,
        after: Option<ListPosition>,
        limit: usize,
    ) -> Result<Vec<Ticket>, TicketStoreError>;

    /// Lists waiting tickets that have expired at `now`, which must be ended by [`Self::step_to_end`]. At most 1000.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn list_overdue(&self, now: Timestamp) -> Result<Vec<Ticket>, TicketStoreError>;

    /// Deletes bundles whose download can no longer be repeated, ended tickets after [`Self::state_retention`], and counts
    /// after `COUNT_RETENTION`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn tidy(&self, now: Timestamp) -> Result<(), TicketStoreError>;

    /// Counts the waiting tickets.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn count_waiting(&self) -> Result<usize, TicketStoreError>;

    /// Number of waiting tickets that would be lost if this process exited now.
    fn lost_on_exit(&self) -> usize;

    /// How long after the expiry of a ticket its final state is kept. If too many tickets have ended, old ones are deleted earlier.
    fn state_retention(&self) -> Duration;
}
