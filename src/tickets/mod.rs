//! Stage 5, sealing: a bundle becomes a ticket, and is released exactly once.
//!
//! A hash of the ID, a verifier of the key, and the bundle sealed under the key are stored. Without the URL nobody
//! can open it, including the broker. Every change of a ticket is a [`crate::database::Step`], which the audit log
//! commits in the unit of work that writes the event: neither exists without the other.

mod bundle_codec;
mod caller_limits;
mod change;
mod database;
mod issued_ids;
mod memory;
mod owner;
mod port;
mod presented;
mod seal;
mod sealed;
mod ticket;
mod ticket_codec;

use crate::config::tickets::{TicketStorage, Tickets as Settings};
use crate::database::Database;
use crate::sealing::keys::RootKey;
use crate::sealing::random::RandomError;
use std::sync::Arc;

pub use caller_limits::{COUNTED_FOR, CallerLimits};
pub use issued_ids::IssuedIds;
pub use port::{Ending, Found, MAX_BYTES_PER_CALLER, REPLAYED_FOR, Rejection, TicketState, TicketStore, Unavailable};
pub use presented::{NotPresented, Presented, Tickets};
pub use seal::{MAX_BUNDLE_BYTES, SealError, TicketSealer};
pub use sealed::Sealed;
pub use ticket::{ListPosition, Ticket};

impl Tickets {
    /// Opens the configured store. Tickets in a database are sealed under an epoch of the database key, which all replicas
    /// share; tickets in memory under an epoch of this process.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn open(settings: &Settings, database: &Database, database_key: &RootKey) -> Result<Self, RandomError> {
        Ok(match settings.store {
            TicketStorage::Memory => {
                let store = Arc::new(memory::Memory::new(settings.max_live_per_pod));
                Self { store, sealer: TicketSealer::new()?, ids: IssuedIds::new()? }
            }
            TicketStorage::Database => Self {
                store: Arc::new(database::InDatabase::new(database.clone(), settings.max_live_per_pod)),
                sealer: TicketSealer::keyed(database_key),
                ids: IssuedIds::keyed(database_key),
            },
        })
    }
}
