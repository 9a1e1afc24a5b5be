//! Lists the leases of all processes for administrators, without the store's lease ID and without values.

use super::lease::LeaseState;
use super::ledger::PageStart;
use super::manager::LeaseManager;
use super::record::LeaseRecord;
use crate::database::DatabaseError;
use crate::model::caller::Caller;
use std::sync::Arc;

/// A lease or a cached secret, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseView {
    /// The broker's ID of it, which never changes.
    pub id: String,
    /// The configured name of the store.
    pub store: String,
    /// The path at the store.
    pub path: String,
    /// Whether it is a lease.
    pub is_dynamic: bool,
    /// When the secret was read or created (RFC 3339, UTC, microseconds).
    pub acquired_at: String,
    /// When the lease ends, or the cached secret is read again.
    pub expires_at: String,
    /// Whether the store would renew the lease.
    pub renewable: bool,
    /// Whether the cached secret has expired and is served only while the store is unreachable.
    pub stale: bool,
    /// The holder. `None` for a shared lease and a cached secret.
    pub held_by: Option<Arc<Caller>>,
    /// See [`LeaseState`].
    pub state: LeaseState,
}

impl LeaseView {
    /// The position in lists.
    #[must_use]
    pub fn position(&self) -> PageStart {
        (self.acquired_at.clone(), self.id.clone())
    }
}

impl LeaseManager {
    /// A page of the leases of all processes, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(in crate::stores) async fn page(
        &self,
        after: Option<&PageStart>,
        limit: usize,
    ) -> Result<Vec<LeaseView>, DatabaseError> {
        Ok(self.ledger.page(after, limit).await?.into_iter().map(|record| self.view(record)).collect())
    }

    /// How a record is listed. If it cannot be opened, its holder is missing.
    fn view(&self, record: LeaseRecord) -> LeaseView {
        let opened = self.record_sealer.open(&record, self.clock.now()).ok();
        let own = self.index().get(&record.id).map(|lease| (lease.lifetime.renewable, lease.state));
        let renewable =
            own.map_or(opened.as_ref().is_some_and(|lease| lease.lifetime.renewable), |(renewable, _)| renewable);
        LeaseView {
            state: own
                .map(|(_, state)| state)
                .or_else(|| LeaseState::from_name(&record.state))
                .unwrap_or(LeaseState::Active),
            id: record.id,
            store: record.store,
            path: record.path,
            is_dynamic: true,
            acquired_at: record.acquired_at,
            expires_at: record.expires_at,
            renewable,
            stale: false,
            held_by: opened.and_then(|lease| lease.holder),
        }
    }
}
