//! Leases of dynamic secrets: issued to their holders, renewed in time, and revoked at the end.
//!
//! In reading order: `manager` has the state that all tasks share, `lease` is one lease, `index` has all leases of this
//! process. `acquire` gives a holder its current lease or a new one, `renew` and `revoke` are called by `upkeep` when a lease is
//! due, and `undelivered` keeps secrets whose request ended early. `ledger` reads and writes the records of leases in the
//! database, `adopt` takes over the leases of a process that ended, and `restore` finds leases that are missing in the index.
//! `revocation_request` is a request of an administrator, and `sealed_request` passes it to another process. `unrenewable` reports
//! leases that cannot be renewed, `list` lists leases for administrators, and `event_recorder` is the port to the audit log.

mod acquire;
mod adopt;
mod event_recorder;
mod index;
mod lease;
mod ledger;
mod list;
mod manager;
mod record;
mod renew;
mod restore;
mod revocation_request;
mod revoke;
mod sealed_request;
mod undelivered;
mod unrenewable;
mod upkeep;

use crate::metrics::Metrics;
use crate::sealing::random::RandomError;
use manager::LeaseManager;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinHandle;

pub use event_recorder::{LeaseEvent, LeaseEventKind, LeaseEventRecorder, RecordingError};
pub(super) use lease::LeaseState;
pub use ledger::PageStart;
pub use list::LeaseView;
pub(super) use manager::{DynamicSource, LeaseRequest};
pub use manager::{FetchError, LeaseSettings};
pub use revocation_request::RevocationRequest;
pub use revoke::RevocationProgress;

/// The leases of this process and the tasks that maintain them. The tasks end when this is dropped.
pub(super) struct Leases {
    pub(super) manager: Arc<LeaseManager>,
    upkeep: [JoinHandle<()>; 2],
}

impl Leases {
    /// Starts the tasks. Must be called in a Tokio runtime.
    ///
    /// # Errors
    /// When the operating system provides no random bytes.
    pub(super) fn start(
        sources: BTreeMap<Arc<str>, DynamicSource>,
        settings: LeaseSettings,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, RandomError> {
        let manager = Arc::new(LeaseManager::new(sources, settings, metrics)?);
        let upkeep = [
            tokio::spawn(upkeep::process_due(manager.clone())),
            tokio::spawn(upkeep::send_heartbeats(manager.clone())),
        ];
        Ok(Self { manager, upkeep })
    }

    /// Stops the tasks. The leases stay in the database, and another process adopts them, because the pods that hold them still
    /// run.
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
