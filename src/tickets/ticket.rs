//! A ticket without its secrets, and its position in the list of waiting tickets.

use crate::model::branch::Branch;
use crate::model::caller::Caller;
use crate::model::policy_ref::PolicyRef;
use crate::model::repo::Repo;
use crate::model::secret_ref::SecretVersion;
use crate::model::ticket::TicketId;
use crate::model::ticket_binding::TicketBinding;
use jiff::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Everything about a ticket that is not secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The public id.
    pub id: TicketId,
    /// The caller who requested the ticket, without groups, and with only the claim `jti`, which distinguishes callers.
    pub caller: Arc<Caller>,
    /// The repo that is built.
    pub repo: Repo,
    /// The branch that is built.
    pub branch: Branch,
    /// The policies that allowed the ticket, and their revisions.
    pub policies: Vec<PolicyRef>,
    /// The names of the keys in the bundle.
    pub keys: Arc<[String]>,
    /// The secrets in the bundle, with the versions that were read.
    pub secrets: Arc<[SecretVersion]>,
    /// The time of issue, in whole microseconds.
    pub issued_at: Timestamp,
    /// The time of expiry, in whole microseconds.
    pub expires_at: Timestamp,
    /// What the redeeming client must have in common with the caller.
    pub binding: TicketBinding,
    /// The client address of the request that issued the ticket.
    pub source_ip: IpAddr,
}

/// The position of a ticket in the list of waiting tickets, which is sorted by time of issue and ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListPosition {
    /// The time of issue, in microseconds since 1970.
    pub issued_at: i64,
    /// The public id.
    pub id: TicketId,
}

/// Microseconds since 1970, the resolution of both databases.
pub(super) fn to_microseconds(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// The time of microseconds since 1970. `Timestamp::MAX` if they exceed its range.
pub(super) fn from_microseconds(time: i64) -> Timestamp {
    Timestamp::from_microsecond(time).unwrap_or(Timestamp::MAX)
}

/// `time + duration`, or `Timestamp::MAX` on overflow.
pub(super) fn saturating_add(time: Timestamp, duration: Duration) -> Timestamp {
    time.saturating_add(duration).unwrap_or(Timestamp::MAX)
}
