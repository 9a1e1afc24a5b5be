//! What the tasks of the lease manager share: the leases of this process, what is on record, and the requests under way.

use super::book::Book;
use super::held::{Held, Key, LeaseState, Why};
use super::ledger::Ledger;
use super::record::RecordSealer;
use super::witness::{LeaseEvent, LeaseEventKind, LeaseWitness};
use crate::database::Database;
use crate::flights::Flights;
use crate::metrics::Metrics;
use crate::model::caller::{Caller, Identity};
use crate::model::clock::Clock;
use crate::model::lease::{Lease, LeaseMode};
use crate::model::request_id::RequestId;
use crate::model::write::Write;
use crate::sealing::keys::RootKey;
use crate::sealing::random::NoRandomness;
use crate::stores::cache::sealed::{Sealed, Sealer};
use crate::stores::dynamic::DynamicStore;
use crate::stores::port::ReadError;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What leases are kept with.
pub struct Keeping {
    /// Where they are on record.
    pub database: Database,
    /// The database's key, which the key of the records is derived from.
    pub key: RootKey,
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
pub(in crate::stores) struct Want {
    pub(in crate::stores) mode: LeaseMode,
    pub(in crate::stores) caller: Arc<Caller>,
    /// How long it has to live at least.
    pub(in crate::stores) life: Duration,
    /// With what the store is asked, where its engine answers a write.
    pub(in crate::stores) write: Option<Write>,
    pub(in crate::stores) request: RequestId,
}

/// A store, and how many leases of it are handed out at most.
pub(in crate::stores) struct DynamicSource {
    pub(in crate::stores) store: Arc<dyn DynamicStore>,
    pub(in crate::stores) most: u64,
}

/// What a flight came back with.
#[derive(Clone)]
pub(super) enum Provided {
    /// It is in the book.
    Held,
    /// It has no end that anybody knows, so that it is for those who waited for it and nobody else.
    Once(Arc<Lease>),
}

/// By what it is for: until when it is kept, and what it is.
pub(super) type Untaken = HashMap<Key, (Instant, Sealed)>;

/// What tasks of their own share.
pub(in crate::stores) struct LeaseManager {
    pub(super) sources: BTreeMap<Arc<str>, DynamicSource>,
    pub(super) book: Mutex<Book>,
    pub(super) ledger: Ledger,
    pub(super) records: RecordSealer,
    pub(super) values: Sealer,
    pub(super) flights: Arc<Flights<Key, Result<Provided, Unread>>>,
    /// What was made, has no lease, and waits for those it was made for.
    pub(super) untaken: Mutex<Untaken>,
    /// How many things are being made for each caller.
    pub(super) making: Mutex<HashMap<Identity, usize>>,
    pub(super) being_made: Mutex<HashSet<Arc<str>>>,
    pub(super) unreadable: Mutex<HashSet<Arc<str>>>,
    /// Up to which id the record was compared with the book.
    pub(super) compared: Mutex<String>,
    pub(super) witness: Arc<dyn LeaseWitness>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) clusters: BTreeSet<Arc<str>>,
    pub(super) metrics: Arc<Metrics>,
    /// Something is due sooner than it was.
    pub(super) sooner: Notify,
}

impl LeaseManager {
    /// No leases.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub(super) fn new(
        sources: BTreeMap<Arc<str>, DynamicSource>,
        keeping: Keeping,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, NoRandomness> {
        Ok(Self {
            sources,
            book: Mutex::default(),
            ledger: Ledger::new(keeping.database),
            records: RecordSealer::new(&keeping.key),
            values: Sealer::new()?,
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
        })
    }

    /// The pods that hold leases.
    pub(in crate::stores) fn pods(&self) -> Vec<Arc<Caller>> {
        self.book().pods()
    }

    /// A pod has ended: what it held is taken back.
    pub(in crate::stores) fn holder_ended(&self, identity: &Identity) {
        let held_by = |held: &Held| held.key.holder.as_ref() == Some(identity);
        let ids = self.book().active(held_by);
        for id in ids {
            self.retire(&id, "pod_ended", None);
        }
    }

    /// Begins to take a lease back.
    pub(super) fn retire(&self, id: &str, reason: &'static str, by: Option<Arc<Caller>>) {
        let mut book = self.book();
        if book.retire(id, Why { reason, by })
            && let Some(held) = book.get(id)
        {
            self.metrics.lease_dropped(&held.key.store);
        }
        drop(book);
        self.sooner.notify_one();
    }

    /// Enters a lease.
    pub(super) fn enter(&self, held: Held, due: Instant, current: bool) {
        if held.state == LeaseState::Active {
            self.metrics.lease_held(&held.key.store);
        }
        self.book().enter(held, due, current);
        self.sooner.notify_one();
    }

    /// Held for one step, never across an `.await`. A panic under it leaves a whole book: each step is one call.
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event of a lease.
    pub(super) fn event(held: &Held, kind: LeaseEventKind, reason: Option<&'static str>) -> LeaseEvent {
        let by = held.why.as_ref().and_then(|why| why.by.clone());
        let caller = by.or_else(|| held.holder.clone());
        LeaseEvent { kind, id: held.id.clone(), secret: held.secret(), caller, reason, request: None }
    }
}
