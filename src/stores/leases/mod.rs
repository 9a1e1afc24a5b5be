//! Leases of what stores make on request: handed out to those they are for, renewed in time, taken back at their end.
//!
//! In reading order: `manager` is what all share; `held` is one lease, `book` all of this process; `acquire` hands out and makes, `renew` and `revoke`
//! do what their names say, `upkeep` does both when it is time. `untaken` is what was made for a request that has ended.
//! `record` and `ledger` are what the database knows, so that `adopt` can look after what another process left, and
//! `restore` after what the book lacks; `orphans` tells what is not renewed. `list` is for administrators, `witness` for
//! the audit log.

mod acquire;
mod adopt;
mod book;
mod held;
mod ledger;
mod list;
mod manager;
mod orphans;
mod record;
mod renew;
mod restore;
mod revoke;
mod untaken;
mod upkeep;
mod witness;

use crate::metrics::Metrics;
use crate::sealing::random::NoRandomness;
use manager::LeaseManager;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinHandle;

pub(super) use held::LeaseState;
pub use list::{After, LeaseView};
pub(super) use manager::{DynamicSource, Want};
pub use manager::{Keeping, Unread};
pub use revoke::Revoked;
pub use witness::{LeaseEvent, LeaseEventKind, LeaseWitness, NotRecorded};

/// The leases of this process, and the tasks that look after them; they end when this is dropped.
pub(super) struct Leases {
    pub(super) manager: Arc<LeaseManager>,
    upkeep: [JoinHandle<()>; 2],
}

impl Leases {
    /// Begins to look after leases; needs a runtime.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub(super) fn keep(
        sources: BTreeMap<Arc<str>, DynamicSource>,
        keeping: Keeping,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, NoRandomness> {
        let manager = Arc::new(LeaseManager::new(sources, keeping, metrics)?);
        let upkeep = [tokio::spawn(upkeep::tend(manager.clone())), tokio::spawn(upkeep::watch(manager.clone()))];
        Ok(Self { manager, upkeep })
    }

    /// Stops looking after leases. They stay on record, and whoever comes next adopts them: the pods that hold some are
    /// still at work.
    pub(super) async fn leave(&self) {
        self.upkeep.iter().for_each(JoinHandle::abort);
        if let Err(error) = self.manager.ledger.leave().await {
            tracing::warn!(
                kind = error.kind(),
                "shutdown could not be recorded in the database; another process adopts the leases later"
            );
        }
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.upkeep.iter().for_each(JoinHandle::abort);
    }
}
