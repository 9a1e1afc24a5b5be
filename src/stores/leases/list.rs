//! Leases as administrators see them: of all processes, without handle and values.

use super::held::LeaseState;
use super::ledger;
use super::manager::LeaseManager;
use super::record::Record;
use crate::database::Failed;
use crate::model::caller::Caller;
use std::sync::Arc;

/// Where a page begins: behind the lease that was acquired then and has this id.
pub type After = ledger::After;

/// A lease, static or dynamic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseView {
    /// Ours, and the same as long as it lives.
    pub id: String,
    /// The store.
    pub store: String,
    /// The path.
    pub path: String,
    /// Whether the store made it on request.
    pub is_dynamic: bool,
    /// When it was read or made (RFC 3339, UTC, microseconds).
    pub acquired_at: String,
    /// When it ends, or a static one is read again.
    pub expires_at: String,
    /// Whether the store would prolong it.
    pub renewable: bool,
    /// Whether its time is over, so that it is served while the store cannot be reached and not otherwise.
    pub stale: bool,
    /// Whom it is for, where it is for one caller.
    pub held_by: Option<Arc<Caller>>,
    /// How far it is from its end.
    pub state: LeaseState,
}

impl LeaseView {
    /// What lists are ordered by.
    #[must_use]
    pub fn place(&self) -> After {
        (self.acquired_at.clone(), self.id.clone())
    }
}

impl LeaseManager {
    /// A page of dynamic leases, whoever looks after them; newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(in crate::stores) async fn page(&self, after: Option<&After>, limit: usize) -> Result<Vec<LeaseView>, Failed> {
        Ok(self.ledger.page(after, limit).await?.into_iter().map(|record| self.view(record)).collect())
    }

    /// A record that does not open is shown as far as it can be read.
    fn view(&self, record: Record) -> LeaseView {
        let opened = self.records.open(&record, self.clock.now()).ok();
        let ours = self.book().get(&record.id).map(|held| (held.term.renewable, held.state));
        let renewable =
            ours.map_or(opened.as_ref().is_some_and(|held| held.term.renewable), |(renewable, _)| renewable);
        LeaseView {
            state: ours.map(|(_, state)| state).or_else(|| LeaseState::of(&record.state)).unwrap_or(LeaseState::Active),
            id: record.id,
            store: record.store,
            path: record.path,
            is_dynamic: true,
            acquired_at: record.acquired_at,
            expires_at: record.expires_at,
            renewable,
            stale: false,
            held_by: opened.and_then(|held| held.holder),
        }
    }
}
