//! Leases of dynamic secrets: issued to their holders, renewed in time, revoked at their end.
//!
//! In reading order: `manager` is the shared state, `lease` one lease, `index` all leases of this process. `acquire` issues and
//! creates, `renew` and `revoke` do what their names say, `upkeep` runs both on time. `undelivered` holds secrets of requests
//! that ended early. `record` and `ledger` are the database rows; with them `adopt` takes over the leases of a process that
//! ended, and `restore` finds leases that the index lacks. `orphans` reports leases that are not renewed. `list` is for
//! administrators, `event_recorder` for the audit log.

mod acquire;
mod adopt;
mod event_recorder;
mod index;
mod lease;
mod ledger;
mod list;
mod manager;
mod orphans;
mod record;
mod renew;
mod restore;
mod revoke;
mod undelivered;
mod upkeep;

use crate::metrics::Metrics;
use crate::sealing::random::RandomError;
use manager::LeaseManager;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinHandle;

pub use event_recorder::{LeaseEvent, LeaseEventKind, LeaseEventRecorder, NotRecorded};
pub(super) use lease::LeaseState;
pub use ledger::PageStart;
pub use list::LeaseView;
pub(super) use manager::{DynamicSource, LeaseRequest};
pub use manager::{FetchError, LeaseSettings};
pub use revoke::RevocationProgress;

/// The leases of this process and the tasks that maintain them. The tasks end when this is dropped.
pub(super) struct Leases {
    pub(super) manager: Arc<LeaseManager>,
    upkeep: [JoinHandle<()>; 2],
}

impl Leases {
    /// Starts the tasks; needs a tokio runtime.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub(super) fn start(
        sources: BTreeMap<Arc<str>, DynamicSource>,
        settings: LeaseSettings,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, RandomError> {
        let manager = Arc::new(LeaseManager::new(sources, settings, metrics)?);
        let upkeep = [tokio::spawn(upkeep::process_due(manager.clone())), tokio::spawn(upkeep::watch(manager.clone()))];
        Ok(Self { manager, upkeep })
    }

    /// Stops the tasks. The leases stay in the database, and another process adopts them: the pods that hold them are
    /// still running.
    pub(super) async fn stop(&self) {
        self.upkeep.iter().for_each(JoinHandle::abort);
        if let Err(error) = self.manager.ledger.sign_off().await {
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
