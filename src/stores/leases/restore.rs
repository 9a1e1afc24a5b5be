//! Restores leases of this process that are recorded in the database but missing in the index, because the result of the
//! adopting transaction was lost or the record could not be opened. Runs at each heartbeat.

use super::event_recorder::{LeaseEvent, LeaseEventKind};
use super::lease::LeaseState;
use super::manager::LeaseManager;
use super::revocation_request::RevocationRequest;
use crate::database::DatabaseError;
use crate::metrics::labels::RevocationOutcome;
use crate::model::secret_ref::SecretRef;
use std::collections::HashSet;
use std::sync::{Arc, MutexGuard, PoisonError};

/// Maximum number of leases compared at each heartbeat. The next heartbeat continues.
const MAX_COMPARED: u32 = 4096;

impl LeaseManager {
    /// Adds the missing leases to the index.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(super) async fn restore(&self) -> Result<(), DatabaseError> {
        // The record of a lease is deleted before the lease is removed from the index. So a lease that was removed from the
        // index before this point is not in the result of the query.
        let indexed_before = self.index().ids();
        let after = std::mem::take(&mut *self.last_compared_id.lock().unwrap_or_else(PoisonError::into_inner));
        let ids = self.ledger.own_ids(&after, MAX_COMPARED).await?;
        if u32::try_from(ids.len()).is_ok_and(|count| count == MAX_COMPARED)
            && let Some(last) = ids.last()
        {
            self.last_compared_id.lock().unwrap_or_else(PoisonError::into_inner).clone_from(last);
        }
        let mut restored = 0;
        for id in ids.iter().filter(|id| !indexed_before.contains(id.as_str())) {
            if self.is_registered(id) {
                continue;
            }
            let Some(record) = self.ledger.get_own(id).await? else { continue };
            if !self.is_registered(id) {
                restored += usize::from(self.restore_record(&record));
            }
        }
        if restored > 0 {
            tracing::warn!(leases = restored, "restored the recorded leases of this process");
        }
        Ok(())
    }

    /// Handles a requested revocation of a lease that is not in the index. If its record cannot be opened, the lease is listed
    /// as failed.
    pub(super) async fn report_unreadable_revocation(&self, id: &str, request: Option<RevocationRequest>) {
        if !self.unreadable_ids().contains(id) {
            // The next heartbeat restores the lease, and then it is revoked.
            return;
        }
        let state = LeaseState::RevocationFailed.as_str();
        let record = match self.ledger.get_own(id).await {
            Ok(Some(record)) => record,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(kind = error.kind(), "a lease to revoke could not be queried");
                return;
            }
        };
        if let Err(error) = self.ledger.set_state(id, state).await {
            tracing::warn!(kind = error.kind(), "a failed lease revocation could not be recorded");
            return;
        }
        let secret = SecretRef { store: record.store.as_str().into(), path: record.path };
        self.metrics.count_lease_revocation(&secret.store, RevocationOutcome::GivenUp);
        let (kind, reason) = (LeaseEventKind::Failed, Some("record_unreadable"));
        let (caller, request_id) = request.map(|request| (request.by, request.request_id)).unzip();
        self.event_recorder
            .record_eventually(LeaseEvent { kind, id: id.into(), secret, caller, reason, request_id })
            .await;
    }

    /// Marks a lease as being recorded until the guard is dropped. The lease must be added to the index before that.
    pub(super) fn begin_registration(&self, id: &Arc<str>) -> Registration<'_> {
        let is_first = self.in_registration().insert(id.clone());
        Registration { manager: self, id: is_first.then(|| id.clone()) }
    }

    /// Whether the lease is in the index or being recorded.
    pub(super) fn is_registered(&self, id: &str) -> bool {
        let is_being_recorded = self.in_registration().contains(id);
        is_being_recorded || self.index().get(id).is_some()
    }

    pub(super) fn unreadable_ids(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.unreadable_ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_registration(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.in_registration.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`LeaseManager::begin_registration`].
pub(super) struct Registration<'a> {
    manager: &'a LeaseManager,
    id: Option<Arc<str>>,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.manager.in_registration().remove(&id);
        }
    }
}
