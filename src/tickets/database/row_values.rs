//! What the columns of the table `tickets` receive when a ticket is issued or ended.

use crate::model::ticket::TicketId;
use crate::tickets::caller_limits::CallerLimits;
use crate::tickets::owner_digest::OwnerDigest;
use crate::tickets::port::FinalState;
use crate::tickets::sealed_bundle::SealedBundle;
use crate::tickets::ticket::to_microseconds;

/// Values of the column `state`.
pub const WAITING: i64 = 0;
pub const REDEEMED: i64 = 1;
pub const EXPIRED: i64 = 2;
pub const REVOKED: i64 = 3;

/// A ticket to insert, and the index of its step.
pub struct IssueRow<'a> {
    pub step_index: usize,
    pub id: String,
    pub owner: OwnerDigest,
    pub issued_at: i64,
    pub expires_at: i64,
    pub sealed: &'a SealedBundle,
    pub limits: Option<&'a CallerLimits>,
}

/// A ticket to end, and the index of its step.
pub struct EndRow<'a> {
    pub step_index: usize,
    pub id: TicketId,
    pub final_state: &'a FinalState,
}

/// The column `bundle_bytes`: the size of the ciphertext.
pub fn bundle_bytes_column(sealed: &SealedBundle) -> i64 {
    i64::try_from(sealed.size()).unwrap_or(i64::MAX)
}

/// The column `state`.
pub const fn state_column(final_state: &FinalState) -> i64 {
    match final_state {
        FinalState::Redeemed { .. } => REDEEMED,
        FinalState::Expired => EXPIRED,
        FinalState::Revoked => REVOKED,
    }
}

/// The column `ended_at`, which only redeemed tickets use: the time of redemption in microseconds since 1970. 0 for the other
/// states.
pub fn ended_at_column(final_state: &FinalState) -> i64 {
    match final_state {
        FinalState::Redeemed { at, .. } => to_microseconds(*at),
        FinalState::Expired | FinalState::Revoked => 0,
    }
}

/// The column `replay`: the digest of the `Idempotency-Key` with which the download can be repeated. `None` if it cannot.
pub fn replay_column(final_state: &FinalState) -> Option<&[u8; 32]> {
    match final_state {
        FinalState::Redeemed { replay_digest, .. } => replay_digest.as_deref(),
        FinalState::Expired | FinalState::Revoked => None,
    }
}
