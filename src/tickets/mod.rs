//! 5. Seal: a bundle becomes a ticket, and comes back exactly once.
//!
//! What waits here is a hash of the id, a verifier of the key, and the bundle sealed under the key. Without the URL
//! nobody can open it, the broker included.

mod bundle_codec;
mod memory;
mod seal;

use crate::model::binding::BindTo;
use crate::model::branch::Branch;
use crate::model::caller::Caller;
use crate::model::policy_ref::PolicyRef;
use crate::model::repo::Repo;
use crate::model::secret_ref::SecretVersion;
use crate::model::ticket::TicketId;
use jiff::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use memory::{Refused, Tickets};
pub use seal::{SealError, Sealed, Sealer};

/// How long after a ticket's expiry whoever proves its key still learns what became of it.
pub const REMEMBERED_FOR: Duration = Duration::from_mins(5);

/// A waiting ticket: everything about it that is no secret.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// Its public id.
    pub id: TicketId,
    /// Who asked for it.
    pub caller: Arc<Caller>,
    /// What is built.
    pub repo: Repo,
    /// What is built.
    pub branch: Branch,
    /// The policies that allowed it, and their revisions.
    pub policies: Vec<PolicyRef>,
    /// The names of the keys in the bundle.
    pub keys: Vec<String>,
    /// What was read for it, and in which version.
    pub secrets: Vec<SecretVersion>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// What the redeemer must share with the caller.
    pub bind_to: BindTo,
    /// The address that asked.
    pub source_ip: IpAddr,
}

/// Why a ticket is not given back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No such ticket, or the key is not proven: one answer.
    #[error("no such ticket")]
    Unknown,
    /// It was redeemed before.
    #[error("redeemed before")]
    Redeemed {
        /// When.
        at: Timestamp,
    },
    /// It has expired.
    #[error("expired")]
    Expired,
    /// It was revoked or burned.
    #[error("revoked")]
    Revoked,
    /// The redeemer is in the wrong place. The ticket is burned.
    #[error("used in the wrong place")]
    Misuse,
}

/// The caller has as many live tickets as one may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many live tickets")]
pub struct TooManyTickets;
