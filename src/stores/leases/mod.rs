//! Leases of what stores make on request: handed out to those they are for, renewed in time, taken back at their end.
//!
//! In reading order: `held` is one lease, `book` all of this process; `acquire` hands out and makes, `renew` and `revoke`
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
mod orphans;
mod record;
mod renew;
mod restore;
mod revoke;
mod untaken;
mod upkeep;
mod witness;

use super::ReadError;
use super::cache::sealed::Sealer;
use super::dynamic::DynamicStore;
use crate::database::Database;
use crate::flights::Flights;
use crate::metrics::Metrics;
use crate::model::caller::{Caller, Identity};
use crate::model::clock::Clock;
use crate::model::lease::LeaseMode;
use crate::model::request_id::RequestId;
use crate::model::write::Write;
use acquire::Provided;
use book::Book;
use held::{Held, Key, LeaseState};
use ledger::Ledger;
use record::RecordSealer;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use untaken::Untaken;

pub use held::LeaseState as State;
pub use list::{After, LeaseView};
pub use revoke::Revoked;
pub use witness::{LeaseEvent, LeaseEventKind, LeaseWitness, NotRecorded};

/// What leases are kept with.
pub struct Keeping {
    /// Where they are on record.
    pub database: Database,
    /// The database's key, which the key of the records is derived from.
    pub key: zeroize::Zeroizing<[u8; 32]>,
    /// Whoever is told of them.
    pub witness: Arc<dyn LeaseWitness>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The configured authenticators whose pods are looked at. Of a pod of another one nobody learns when it ends.
    pub clusters: BTreeSet<Arc<str>>,
}

/// Why there is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// The store gave none.
    #[error(transparent)]
    Store(#[from] ReadError),
    /// It was made, but cannot be recorded, and nobody gets what is not on record.
    #[error("the lease cannot be recorded")]
    Unrecorded,
}

/// What is wanted of a store that makes secrets, and for whom.
#[derive(Debug, Clone)]
pub(super) struct Want {
    pub(super) mode: LeaseMode,
    pub(super) caller: Arc<Caller>,
    /// How long it has to live at least.
    pub(super) life: Duration,
    /// With what the store is asked, where its engine answers a write.
    pub(super) write: Option<Write>,
    pub(super) request: RequestId,
}

/// A store, and how many leases of it are handed out at most.
pub(super) struct Source {
    pub(super) store: Arc<dyn DynamicStore>,
    pub(super) most: u64,
}

/// The leases of this process, and the tasks that look after them; they end when this is dropped.
pub(super) struct Leases {
    pub(super) shared: Arc<Shared>,
    upkeep: [JoinHandle<()>; 2],
}

/// What tasks of their own share.
pub(super) struct Shared {
    sources: BTreeMap<Arc<str>, Source>,
    book: Mutex<Book>,
    ledger: Ledger,
    records: RecordSealer,
    values: Sealer,
    flights: Arc<Flights<Key, Result<Provided, Unread>>>,
    /// What was made, has no lease, and waits for those it was made for.
    untaken: Mutex<Untaken>,
    /// How many things are being made for each caller.
    making: Mutex<HashMap<Identity, usize>>,
    being_made: Mutex<HashSet<Arc<str>>>,
    unreadable: Mutex<HashSet<Arc<str>>>,
    /// Up to which id the record was compared with the book.
    compared: Mutex<String>,
    witness: Arc<dyn LeaseWitness>,
    clock: Arc<dyn Clock>,
    clusters: BTreeSet<Arc<str>>,
    metrics: Arc<Metrics>,
    /// Something is due sooner than it was.
    sooner: Notify,
}

impl Leases {
    /// Begins to look after leases; needs a runtime. None where there is no randomness to seal with.
    pub(super) fn keep(sources: BTreeMap<Arc<str>, Source>, keeping: Keeping, metrics: &Arc<Metrics>) -> Option<Self> {
        let shared = Arc::new(Shared {
            sources,
            book: Mutex::default(),
            ledger: Ledger::new(keeping.database),
            records: RecordSealer::new(&keeping.key)?,
            values: Sealer::new().ok()?,
            flights: Flights::new(),
            untaken: Mutex::default(),
            making: Mutex::default(),
            being_made: Mutex::default(),
            unreadable: Mutex::default(),
            compared: Mutex::default(),
            witness: keeping.witness,
            clock: keeping.clock,
            clusters: keeping.clusters,
            metrics: metrics.clone(),
            sooner: Notify::new(),
        });
        let upkeep = [tokio::spawn(upkeep::tend(shared.clone())), tokio::spawn(upkeep::watch(shared.clone()))];
        Some(Self { shared, upkeep })
    }

    /// Stops looking after leases. They stay on record, and whoever comes next adopts them: the pods that hold some are
    /// still at work.
    pub(super) async fn leave(&self) {
        self.upkeep.iter().for_each(JoinHandle::abort);
        if let Err(error) = self.shared.ledger.leave().await {
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

impl Shared {
    /// The pods that hold leases.
    pub(super) fn pods(&self) -> Vec<Arc<Caller>> {
        self.book().pods()
    }

    /// A pod has ended: what it held is taken back.
    pub(super) fn holder_ended(&self, identity: &Identity) {
        let held_by = |held: &Held| held.key.holder.as_ref() == Some(identity);
        let ids = self.book().active(held_by);
        for id in ids {
            self.retire(&id, "pod_ended", None);
        }
    }

    /// Begins to take a lease back.
    fn retire(&self, id: &str, reason: &'static str, by: Option<Arc<Caller>>) {
        let mut book = self.book();
        if book.retire(id, held::Why { reason, by })
            && let Some(held) = book.get(id)
        {
            self.metrics.lease_dropped(&held.key.store);
        }
        drop(book);
        self.sooner.notify_one();
    }

    /// Enters a lease.
    fn enter(&self, held: Held, due: tokio::time::Instant, current: bool) {
        if held.state == LeaseState::Active {
            self.metrics.lease_held(&held.key.store);
        }
        self.book().enter(held, due, current);
        self.sooner.notify_one();
    }

    /// Held for one step, never across an `.await`. A panic under it leaves a whole book: each step is one call.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event of a lease.
    fn event(held: &Held, kind: LeaseEventKind, reason: Option<&'static str>) -> LeaseEvent {
        let by = held.why.as_ref().and_then(|why| why.by.clone());
        let caller = by.or_else(|| held.holder.clone());
        LeaseEvent { kind, id: held.id.clone(), secret: held.secret(), caller, reason, request: None }
    }
}
