//! 5. Seal: a bundle becomes a ticket, and comes back exactly once.
//!
//! What waits here is a hash of the id, a verifier of the key, and the bundle sealed under the key. Without the URL
//! nobody can open it, the broker included. Every change of a ticket is a [`Step`], which the audit log does in the same
//! unit of work in which it writes the event: neither is ever there without the other.

mod bundle_codec;
mod database;
mod issued_ids;
mod memory;
mod owner;
mod presented;
mod seal;
mod ticket_codec;

use crate::config::tickets::{Tickets as Settings, Where};
use crate::database::{Database, Step};
use crate::model::binding::BindTo;
use crate::model::branch::Branch;
use crate::model::caller::{Caller, Identity};
use crate::model::policy_ref::PolicyRef;
use crate::model::repo::Repo;
use crate::model::secret_ref::SecretVersion;
use crate::model::ticket::TicketId;
use crate::sealing::keys::RootKey;
use crate::sealing::random::NoRandomness;
use async_trait::async_trait;
use jiff::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use issued_ids::IssuedIds;
pub use presented::{NotPresented, Presented};
pub use seal::{MAX_BUNDLE_BYTES, SealError, Sealed, Sealer};

/// Bytes of sealed bundles of one caller, kept at once. So one pod does not take the room of all. In memory they are those of
/// an issuer and subject, with however many tokens; in a database those of one token.
pub const MAX_BYTES_PER_CALLER: usize = 32 * 1024 * 1024;
/// How long the same redeemer may repeat a lost download.
pub const REPLAYED_FOR: Duration = Duration::from_secs(30);

/// A waiting ticket: everything about it that is no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its public id.
    pub id: TicketId,
    /// Who asked for it. Of its groups and claims nothing is kept but what tells callers apart.
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
    /// When it was issued, in whole microseconds.
    pub issued_at: Timestamp,
    /// When it expires, in whole microseconds.
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
}

/// A ticket as it is found, whatever has become of it.
#[derive(Debug, Clone)]
pub struct Found {
    /// What is no secret about it.
    pub ticket: Ticket,
    /// The bundle, which may be forgotten, and the verifier of its key.
    pub sealed: Sealed,
    /// What has become of it.
    pub state: State,
}

/// What has become of a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing yet.
    Waiting,
    /// It was redeemed.
    Redeemed {
        /// When.
        at: Timestamp,
        /// What a repetition of that download has to show, where there may be one.
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
    /// By being redeemed.
    Redeemed {
        /// When.
        at: Timestamp,
        /// What a repetition has to show. Without it the bundle is forgotten at once. Boxed: few have one, and all are remembered.
        replay: Option<Box<[u8; 32]>>,
    },
    /// By its time.
    Expired,
    /// By an administrator, or by being used in the wrong place.
    Revoked,
}

/// The place of a ticket in the list of those that wait: issued then, and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When it was issued, in microseconds of the epoch.
    pub issued_at: i64,
    /// Its id.
    pub id: TicketId,
}

/// The tickets cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tickets are unavailable")]
pub struct Unavailable;

/// Where tickets wait. The steps it makes are done and undone together with their events.
#[async_trait]
pub trait TicketStore: Send + Sync + 'static {
    /// Whether the caller may have another ticket now, as far as that is known without effort: asked before secrets are read
    /// for it. The step decides.
    fn has_room_for(&self, caller: &Identity) -> bool;

    /// Lets a ticket wait. It cannot be done where the caller has as many live ones as one may have, or too large ones.
    fn issuing(&self, ticket: &Ticket, sealed: Sealed) -> Step;

    /// Ends a ticket. It cannot be done where the ticket waits no longer: of any number of endings one is done.
    fn ending(&self, id: TicketId, ending: Ending) -> Step;

    /// The ticket of this id.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn find(&self, id: TicketId) -> Result<Option<Found>, Unavailable>;

    /// Those that wait at this time, newest first, behind a place.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn list(&self, now: Timestamp, after: Option<Place>, limit: usize) -> Result<Vec<Ticket>, Unavailable>;

    /// Some that have not been redeemed in time and wait to be ended.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn overdue(&self, now: Timestamp) -> Result<Vec<Ticket>, Unavailable>;

    /// Forgets what nobody is owed any more: bundles that may not be repeated any longer, and tickets whose end is long ago.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn forget(&self, now: Timestamp) -> Result<(), Unavailable>;

    /// How many wait.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn waiting(&self) -> Result<usize, Unavailable>;

    /// How many would be lost if this process ended now.
    fn lost_with_the_process(&self) -> usize;

    /// How long after a ticket's expiry whoever proves its key still learns what became of it.
    fn remembered_for(&self) -> Duration;
}

/// The room: where tickets wait, and what seals them.
pub struct Tickets {
    /// Where they wait.
    pub store: Arc<dyn TicketStore>,
    /// Seals and opens their bundles.
    pub sealer: Sealer,
    /// Makes and recognises their ids.
    pub ids: IssuedIds,
}

impl Tickets {
    /// Opens the store that is configured. Tickets in a database are sealed under an epoch that its key gives, which all
    /// replicas share; those in memory under one of this process.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn open(settings: &Settings, database: &Database, database_key: &RootKey) -> Result<Self, NoRandomness> {
        Ok(match settings.store {
            Where::Memory => {
                let store = Arc::new(memory::Memory::new(settings.max_live_per_pod));
                Self { store, sealer: Sealer::new()?, ids: IssuedIds::new()? }
            }
            Where::Database => Self {
                store: Arc::new(database::InDatabase::new(database.clone(), settings.max_live_per_pod)),
                sealer: Sealer::keyed(database_key),
                ids: IssuedIds::keyed(database_key),
            },
        })
    }
}

/// Whole microseconds: what a database keeps, and so what a ticket has.
fn microseconds(time: Timestamp) -> i64 {
    time.as_microsecond()
}

fn from_microseconds(time: i64) -> Timestamp {
    Timestamp::from_microsecond(time).unwrap_or(Timestamp::MAX)
}

/// A time so much later.
fn later(time: Timestamp, duration: Duration) -> Timestamp {
    time.saturating_add(duration).unwrap_or(Timestamp::MAX)
}

/// A change of one ticket: what the steps of both stores carry.
enum Change {
    Issue {
        id: TicketId,
        owner: owner::Owner,
        /// The owner, whatever token it comes with.
        account: owner::Owner,
        issued_at: i64,
        expires_at: i64,
        sealed: Sealed,
    },
    End {
        id: TicketId,
        ending: Ending,
    },
}

impl Change {
    fn issue(ticket: &Ticket, sealed: Sealed) -> Self {
        Self::Issue {
            id: ticket.id,
            owner: owner::Owner::of(&ticket.caller.identity()),
            account: owner::Owner::of(&ticket.caller.account()),
            issued_at: microseconds(ticket.issued_at),
            expires_at: microseconds(ticket.expires_at),
            sealed,
        }
    }
}
