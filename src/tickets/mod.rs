//! Stage 5, tickets: seals a bundle into a ticket, stores the ticket, and lets exactly one request redeem it.
//!
//! Stored are a hash of the ID, a verifier of the key, and the bundle, encrypted under the key. The key is only in the URL, so
//! Claviger itself cannot open a bundle without the URL. Every change of a ticket is a [`crate::database::Step`], which the
//! audit log commits together with the event about it: neither the change nor the event exists without the other.

mod bundle_codec;
mod caller_limits;
mod database;
mod memory;
mod owner_digest;
mod port;
mod redeemable;
mod seal;
mod sealed_bundle;
mod ticket;
mod ticket_change;
mod ticket_codec;
mod ticket_id_mac;

use crate::config::tickets::{TicketStorage, Tickets as Settings};
use crate::database::Database;
use crate::sealing::keys::RootKey;
use crate::sealing::random::RandomError;
use std::sync::Arc;

pub use caller_limits::{COUNT_RETENTION, CallerLimits};
pub use port::{
    FinalState, MAX_BYTES_PER_CALLER, REPLAY_WINDOW, Rejection, StoredTicket, TicketState, TicketStore,
    TicketStoreError,
};
pub use redeemable::{RedeemError, RedeemableTicket, Tickets};
pub use seal::{MAX_BUNDLE_BYTES, SealError, TicketSealer};
pub use sealed_bundle::SealedBundle;
pub use ticket::{ListPosition, Ticket};
pub use ticket_id_mac::TicketIdMac;

impl Tickets {
    /// Opens the configured store. Tickets in a database are bound to the database key, which all replicas share; tickets in
    /// memory are bound to this process.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn open(settings: &Settings, database: &Database, database_key: &RootKey) -> Result<Self, RandomError> {
        Ok(match settings.store {
            TicketStorage::Memory => {
                let store = Arc::new(memory::MemoryTicketStore::new(settings.max_live_per_pod));
                Self { store, sealer: TicketSealer::new_random()?, ids: TicketIdMac::new_random()? }
            }
            TicketStorage::Database => Self {
                store: Arc::new(database::DatabaseTicketStore::new(database.clone(), settings.max_live_per_pod)),
                sealer: TicketSealer::from_database_key(database_key),
                ids: TicketIdMac::from_database_key(database_key),
            },
        })
    }
}
