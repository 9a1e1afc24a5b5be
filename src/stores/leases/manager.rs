//! The lease manager: the leases of this process, their records and the requests in progress, shared by its tasks.

use super::event_recorder::{LeaseEvent, LeaseEventKind, LeaseEventRecorder};
use super::index::LeaseIndex;
use super::lease::{ADMINISTRATOR, Lease, LeaseKey, LeaseState, RevocationReason};
use super::ledger::Ledger;
use super::record::RecordSealer;
use super::revocation_request::RevocationRequest;
use crate::database::Database;
use crate::flights::SingleFlight;
use crate::metrics::Metrics;
use crate::model::caller::{Caller, Identity};
use crate::model::clock::Clock;
use crate::model::lease::LeaseMode;
use crate::model::request_id::RequestId;
use crate::model::secret::Secret;
use crate::model::write_body::WriteBody;
use crate::sealing::keys::RootKey;
use crate::sealing::random::RandomError;
use crate::stores::cache::sealed::{SealedSecret, SecretSealer};
use crate::stores::dynamic_store::DynamicStore;
use crate::stores::port::ReadError;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The dependencies of the lease manager.
pub struct LeaseSettings {
    /// The database that records leases.
    pub database: Database,
    /// The database key, from which the key of the records is derived.
    pub key: RootKey,
    /// Receives an event for each change of a lease.
    pub event_recorder: Arc<dyn LeaseEventRecorder>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The configured authenticators whose pods are checked. The end of other pods is not detected.
    pub clusters: BTreeSet<Arc<str>>,
}

/// Why a caller gets no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The store returned no secret.
    #[error(transparent)]
    Store(#[from] ReadError),
    /// The secret was created but could not be recorded. Unrecorded leases are not issued.
    #[error("the lease cannot be recorded")]
    Unrecorded,
    /// A lease that is not shared ends with its pod, but this caller has no pod.
    #[error("a lease of the caller's own needs a pod")]
    NoPod,
}

/// A request for a dynamic secret.
#[derive(Debug, Clone)]
pub(in crate::stores) struct LeaseRequest {
    pub(in crate::stores) mode: LeaseMode,
    pub(in crate::stores) caller: Arc<Caller>,
    /// Minimum remaining lifetime.
    pub(in crate::stores) min_lifetime: Duration,
    /// The body of the write, for engines that need one.
    pub(in crate::stores) write: Option<WriteBody>,
    pub(in crate::stores) request_id: RequestId,
}

/// A store, and the maximum number of its active leases.
pub(in crate::stores) struct DynamicSource {
    pub(in crate::stores) store: Arc<dyn DynamicStore>,
    pub(in crate::stores) max_leases: u64,
}

/// The result of an acquisition.
#[derive(Clone)]
pub(super) enum AcquiredSecret {
    /// The lease is in the index.
    Leased,
    /// The secret has no lease, so only the callers that waited for it get it.
    Unleased(Arc<Secret>),
}

/// For each secret, the time at which it is dropped.
pub(super) type UndeliveredSecrets = HashMap<LeaseKey, (Instant, SealedSecret)>;

/// The state that all tasks of leases share.
pub(in crate::stores) struct LeaseManager {
    pub(super) sources: BTreeMap<Arc<str>, DynamicSource>,
    pub(super) index: Mutex<LeaseIndex>,
    pub(super) ledger: Ledger,
    pub(super) record_sealer: RecordSealer,
    pub(super) secret_sealer: SecretSealer,
    pub(super) flights: Arc<SingleFlight<LeaseKey, Result<AcquiredSecret, FetchError>>>,
    /// Secrets without a lease whose request ended before they were created.
    pub(super) undelivered: Mutex<UndeliveredSecrets>,
    /// Number of secrets being created, for each caller.
    pub(super) creations: Mutex<HashMap<Identity, usize>>,
    /// The IDs of leases that are being recorded and are not in the index yet.
    pub(super) in_registration: Mutex<HashSet<Arc<str>>>,
    /// The IDs of leases of this process whose records cannot be opened.
    pub(super) unreadable_ids: Mutex<HashSet<Arc<str>>>,
    /// The records up to this ID were compared with the index. The next comparison continues after it.
    pub(super) last_compared_id: Mutex<String>,
    pub(super) event_recorder: Arc<dyn LeaseEventRecorder>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) clusters: BTreeSet<Arc<str>>,
    pub(super) metrics: Arc<Metrics>,
    /// Wakes `upkeep` when a lease may be due earlier than before.
    pub(super) wake: Notify,
}

impl LeaseManager {
    /// Creates a manager without leases.
    ///
    /// # Errors
    /// When the operating system provides no random bytes.
    pub(super) fn new(
        sources: BTreeMap<Arc<str>, DynamicSource>,
        settings: LeaseSettings,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, RandomError> {
        Ok(Self {
            sources,
            index: Mutex::default(),
            ledger: Ledger::new(settings.database),
            record_sealer: RecordSealer::new(&settings.key),
            secret_sealer: SecretSealer::new()?,
            flights: SingleFlight::new(),
            undelivered: Mutex::default(),
            creations: Mutex::default(),
            in_registration: Mutex::default(),
            unreadable_ids: Mutex::default(),
            last_compared_id: Mutex::default(),
            event_recorder: settings.event_recorder,
            clock: settings.clock,
            clusters: settings.clusters,
            metrics: metrics.clone(),
            wake: Notify::new(),
        })
    }

    /// The pods that hold leases.
    pub(in crate::stores) fn pods(&self) -> Vec<Arc<Caller>> {
        self.index().pods()
    }

    /// Revokes the leases of a pod that ended.
    pub(in crate::stores) fn revoke_leases_of(&self, identity: &Identity) {
        let held_by = |lease: &Lease| lease.key.holder.as_ref() == Some(identity);
        let ids = self.index().active_ids(held_by);
        for id in ids {
            self.begin_revocation(&id, "pod_ended", None);
        }
    }

    /// Begins to revoke a lease, which is not issued any more.
    pub(super) fn begin_revocation(&self, id: &str, reason: &'static str, request: Option<RevocationRequest>) {
        let mut index = self.index();
        if index.begin_revocation(id, RevocationReason { reason, request })
            && let Some(lease) = index.get(id)
        {
            self.metrics.decrement_active_leases(&lease.key.store);
        }
        drop(index);
        self.wake.notify_one();
    }

    /// Lets other leases of the store proceed, because the store has answered and only the database is still needed.
    pub(super) fn leave_store_queue(&self, id: &str) {
        self.index().move_to_database_queue(id);
        self.wake.notify_one();
    }

    /// Adds a lease to the index. With `current`, it is issued from now on.
    pub(super) fn insert(&self, lease: Lease, due: Instant, current: bool) {
        if lease.state == LeaseState::Active {
            self.metrics.increment_active_leases(&lease.key.store);
        }
        let replaced = self.index().insert(lease, due, current);
        if let Some(replaced) = replaced.filter(|lease| lease.state == LeaseState::Active) {
            self.metrics.decrement_active_leases(&replaced.key.store);
        }
        self.wake.notify_one();
    }

    /// Locks the index, for one step and never across an `.await`. A panic cannot leave it inconsistent: each step is one call.
    pub(super) fn index(&self) -> MutexGuard<'_, LeaseIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates an event of a lease.
    pub(super) fn new_event(lease: &Lease, kind: LeaseEventKind, reason: Option<&'static str>) -> LeaseEvent {
        let (caller, request_id) = match &lease.revocation_reason {
            Some(RevocationReason { reason: ADMINISTRATOR, request }) => {
                request.as_ref().map(|request| (request.by.clone(), request.request_id.clone())).unzip()
            }
            _ => (lease.holder.clone(), None),
        };
        LeaseEvent { kind, id: lease.id.clone(), secret: lease.secret(), caller, reason, request_id }
    }
}
