//! The values of ticket rows: states, and what the steps of a group insert and update.

use crate::model::ticket::TicketId;
use crate::tickets::caller_limits::CallerLimits;
use crate::tickets::owner::Owner;
use crate::tickets::port::Ending;
use crate::tickets::sealed::Sealed;
use crate::tickets::ticket::microseconds;

/// Values of the column `state`.
pub const WAITING: i64 = 0;
pub const REDEEMED: i64 = 1;
pub const EXPIRED: i64 = 2;
pub const REVOKED: i64 = 3;

/// A ticket to be issued, and its index among the steps.
pub struct Issue<'a> {
    pub place: usize,
    pub id: String,
    pub owner: Owner,
    pub issued_at: i64,
    pub expires_at: i64,
    pub sealed: &'a Sealed,
    pub limits: Option<&'a CallerLimits>,
}

/// A ticket to be ended, and its index among the steps.
pub struct End<'a> {
    pub place: usize,
    pub id: TicketId,
    pub ending: &'a Ending,
}

pub fn bytes(sealed: &Sealed) -> i64 {
    i64::try_from(sealed.size()).unwrap_or(i64::MAX)
}

pub const fn state(ending: &Ending) -> i64 {
    match ending {
        Ending::Redeemed { .. } => REDEEMED,
        Ending::Expired => EXPIRED,
        Ending::Revoked => REVOKED,
    }
}

/// The time of redemption. Other endings have none.
pub fn time(ending: &Ending) -> i64 {
    match ending {
        Ending::Redeemed { at, .. } => microseconds(*at),
        Ending::Expired | Ending::Revoked => 0,
    }
}

pub fn replay(ending: &Ending) -> Option<&[u8; 32]> {
    match ending {
        Ending::Redeemed { replay, .. } => replay.as_deref(),
        Ending::Expired | Ending::Revoked => None,
    }
}
