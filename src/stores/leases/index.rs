//! The leases of this process, by key, by ID and by due time. Each operation is one step under a lock, so a panic between two
//! operations leaves a consistent index.

use super::lease::{Lease, LeaseKey, LeaseState, RevocationReason};
use crate::model::caller::Caller;
use crate::model::caller::Identity;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tokio::time::Instant;

type LeaseId = Arc<str>;
/// The store and the first two segments of the path: leases with the same key probably belong to the same backend system.
type QueueKey = Arc<str>;

struct IndexEntry {
    lease: Lease,
    queue_key: QueueKey,
    due: Instant,
    /// Whether a task works on the lease.
    claimed: bool,
    /// Whether the lease is due as soon as its claim is released.
    urgent: bool,
}

/// All leases of this process.
#[derive(Default)]
pub(super) struct LeaseIndex {
    entries: HashMap<LeaseId, IndexEntry>,
    /// The lease of each key that is issued.
    current: HashMap<LeaseKey, LeaseId>,
    /// One queue for each backend system, so that a slow one delays only its own leases.
    queues: HashMap<QueueKey, Queue>,
}

/// The leases of one backend system.
#[derive(Default)]
struct Queue {
    /// The leases that are not claimed, by due time.
    due: BTreeSet<(Instant, LeaseId)>,
    /// Number of claimed leases.
    claimed: usize,
}

/// The queue of leases that wait for the database, which delays no lease that waits for a store.
const DATABASE_QUEUE: &str = "";

impl Queue {
    fn is_empty(&self) -> bool {
        self.due.is_empty() && self.claimed == 0
    }
}

fn queue_key(key: &LeaseKey) -> QueueKey {
    let path = key.path.as_str();
    let end = path.match_indices('/').nth(1).map_or(path.len(), |(index, _)| index);
    format!("{}\0{}", key.store, &path[..end]).into()
}

impl LeaseIndex {
    /// Adds a lease, or replaces the one with its ID, which it returns. With `current`, it is issued from now on.
    pub(super) fn insert(&mut self, lease: Lease, due: Instant, current: bool) -> Option<Lease> {
        let id = lease.id.clone();
        // A creation can end after this process adopted the record of the lease.
        let replaced = self.remove(&id);
        if current {
            self.current.insert(lease.key.clone(), id.clone());
        }
        let queue_key = queue_key(&lease.key);
        self.queues.entry(queue_key.clone()).or_default().due.insert((due, id.clone()));
        self.entries.insert(id, IndexEntry { lease, queue_key, due, claimed: false, urgent: false });
        replaced
    }

    /// The lease that is issued for a key.
    pub(super) fn current(&mut self, key: &LeaseKey) -> Option<&mut Lease> {
        let id = self.current.get(key)?;
        self.entries.get_mut(id).map(|entry| &mut entry.lease)
    }

    pub(super) fn get(&mut self, id: &str) -> Option<&mut Lease> {
        self.entries.get_mut(id).map(|entry| &mut entry.lease)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn ids(&self) -> HashSet<LeaseId> {
        self.entries.keys().cloned().collect()
    }

    /// Claims a lease. Returns false if it is already claimed.
    pub(super) fn claim(&mut self, id: &str) -> bool {
        match self.entries.get_mut(id) {
            Some(entry) if !entry.claimed => {
                entry.claimed = true;
                let queue = self.queues.entry(entry.queue_key.clone()).or_default();
                queue.claimed += 1;
                queue.due.remove(&(entry.due, entry.lease.id.clone()))
            }
            _ => false,
        }
    }

    /// Claims due leases. Of each queue at most `max_claimed` are claimed, including those that already are. Returns their IDs.
    pub(super) fn claim_due(&mut self, now: Instant, max_claimed: usize) -> Vec<LeaseId> {
        let due_in_queue = |queue: &Queue| {
            let free_slots = max_claimed.saturating_sub(queue.claimed);
            let due = queue.due.iter().take(free_slots).take_while(|(due, _)| *due <= now);
            due.map(|(_, id)| id.clone()).collect::<Vec<_>>()
        };
        let due: Vec<LeaseId> = self.queues.values().flat_map(due_in_queue).collect();
        due.into_iter().filter(|id| self.claim(id)).collect()
    }

    /// The next due time among the queues with fewer than `max_claimed` claims.
    pub(super) fn next_due(&self, max_claimed: usize) -> Option<Instant> {
        let with_free_slots = self.queues.values().filter(|queue| queue.claimed < max_claimed);
        with_free_slots.filter_map(|queue| queue.due.first()).map(|(due, _)| *due).min()
    }

    /// Moves a claimed lease to [`DATABASE_QUEUE`], because its store has answered. The lease stays claimed, and leaves this queue
    /// when it is released, unless only its record is left to be deleted.
    pub(super) fn move_to_database_queue(&mut self, id: &str) {
        if let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.claimed) {
            move_claim(&mut self.queues, entry, DATABASE_QUEUE.into());
        }
    }

    /// Number of leases in [`DATABASE_QUEUE`].
    pub(super) fn database_queue_len(&self) -> usize {
        self.queues.get(DATABASE_QUEUE).map_or(0, |queue| queue.due.len() + queue.claimed)
    }

    /// Releases a claim. The lease is due at `due`, or now if it became urgent.
    pub(super) fn release(&mut self, id: &str, due: Instant) {
        // A lease that was replaced meanwhile is not claimed, and keeps its due time.
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.claimed) else { return };
        if !entry.lease.is_revoked_at_store {
            let queue_key = queue_key(&entry.lease.key);
            move_claim(&mut self.queues, entry, queue_key);
        }
        entry.due = if std::mem::take(&mut entry.urgent) { Instant::now() } else { due };
        entry.claimed = false;
        let queue = self.queues.entry(entry.queue_key.clone()).or_default();
        queue.claimed = queue.claimed.saturating_sub(1);
        queue.due.insert((entry.due, entry.lease.id.clone()));
    }

    /// Begins to revoke a lease, unless it is already revoked at its store. Returns whether it was active.
    pub(super) fn begin_revocation(&mut self, id: &str, revocation_reason: RevocationReason) -> bool {
        let Some(entry) = self.entries.get_mut(id) else { return false };
        if entry.lease.is_revoked_at_store {
            return false;
        }
        let was_active = entry.lease.state == LeaseState::Active;
        entry.lease.state = LeaseState::Revoking;
        entry.lease.attempts = 0;
        entry.lease.revocation_reason = Some(revocation_reason);
        if entry.claimed {
            entry.urgent = true;
        } else {
            let queue = self.queues.entry(entry.queue_key.clone()).or_default();
            queue.due.remove(&(entry.due, entry.lease.id.clone()));
            entry.due = Instant::now();
            queue.due.insert((entry.due, entry.lease.id.clone()));
        }
        if self.current.get(&entry.lease.key) == Some(&entry.lease.id) {
            self.current.remove(&entry.lease.key);
        }
        was_active
    }

    /// Clears the urgent flag. For a caller that has claimed the lease itself.
    pub(super) fn clear_urgent(&mut self, id: &str) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.urgent = false;
        }
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Lease> {
        let entry = self.entries.remove(id)?;
        if let Some(queue) = self.queues.get_mut(&entry.queue_key) {
            queue.due.remove(&(entry.due, entry.lease.id.clone()));
            queue.claimed = queue.claimed.saturating_sub(usize::from(entry.claimed));
            if queue.is_empty() {
                self.queues.remove(&entry.queue_key);
            }
        }
        if self.current.get(&entry.lease.key) == Some(&entry.lease.id) {
            self.current.remove(&entry.lease.key);
        }
        Some(entry.lease)
    }

    /// Removes and returns all leases.
    pub(super) fn clear(&mut self) -> Vec<Lease> {
        self.current.clear();
        self.queues.clear();
        self.entries.drain().map(|(_, entry)| entry.lease).collect()
    }

    fn active(&self) -> impl Iterator<Item = &Lease> {
        self.entries.values().map(|entry| &entry.lease).filter(|lease| lease.state == LeaseState::Active)
    }

    /// The IDs of the matching active leases.
    pub(super) fn active_ids(&self, matches: impl Fn(&Lease) -> bool) -> Vec<LeaseId> {
        self.active().filter(|lease| matches(lease)).map(|lease| lease.id.clone()).collect()
    }

    /// The pods that hold active leases, each once.
    pub(super) fn pods(&self) -> Vec<Arc<Caller>> {
        let mut seen: HashSet<Identity> = HashSet::new();
        let holders =
            self.active().filter_map(|lease| lease.holder.as_ref()).filter(|holder| holder.workload.is_some());
        holders.filter(|holder| seen.insert(holder.identity())).cloned().collect()
    }

    /// The stores of the active leases of pods, each with the authenticator of its pod.
    pub(super) fn stores_and_issuers(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.active().filter_map(|lease| {
            let holder = lease.holder.as_ref().filter(|holder| holder.workload.is_some())?;
            Some((&lease.key.store, &holder.issuer))
        })
    }

    /// The lease to revoke if a store has more than `max_leases` leases: in the namespace with most leases, of the holder with
    /// most leases, the least recently issued one. So a caller that creates many leases loses its own.
    pub(super) fn eviction_candidate(&self, store: &str, max_leases: u64) -> Option<LeaseId> {
        let of_store = || {
            let entries = self.current.values().filter_map(|id| self.entries.get(id));
            entries.map(|entry| &entry.lease).filter(|lease| *lease.key.store == *store)
        };
        if u64::try_from(of_store().count()).unwrap_or(u64::MAX) <= max_leases {
            return None;
        }
        let (mut of_namespace, mut of_holder) = (HashMap::<_, u64>::new(), HashMap::<_, u64>::new());
        for lease in of_store() {
            *of_namespace.entry(namespace(lease)).or_default() += 1;
            *of_holder.entry(&lease.key.holder).or_default() += 1;
        }
        let most = of_store().max_by_key(|lease| {
            let share = (of_namespace.get(&namespace(lease)).copied(), of_holder.get(&lease.key.holder).copied());
            (share, Reverse(lease.last_issued_at))
        });
        most.map(|lease| lease.id.clone())
    }
}

/// Moves a claimed lease to another queue.
fn move_claim(queues: &mut HashMap<QueueKey, Queue>, entry: &mut IndexEntry, to: QueueKey) {
    let from = std::mem::replace(&mut entry.queue_key, to.clone());
    if let Some(queue) = queues.get_mut(&from) {
        queue.claimed = queue.claimed.saturating_sub(1);
        if queue.is_empty() {
            queues.remove(&from);
        }
    }
    queues.entry(to).or_default().claimed += 1;
}

/// The group in which a lease is counted: the namespace of its pod, the OIDC subject, or `None` for all shared leases.
fn namespace(lease: &Lease) -> Option<(&str, &str)> {
    let holder = lease.holder.as_ref()?;
    let name = holder.workload.as_ref().map_or(holder.subject.as_str(), |workload| workload.namespace.as_str());
    Some((&*holder.issuer, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::caller::{Pod, Workload};
    use crate::model::lease::LeaseMode;
    use crate::model::secret::SecretValue;
    use crate::stores::dynamic_store::GrantedLifetime;
    use crate::stores::leases::lease::LeaseLifetime;
    use crate::stores::store_path::StorePath;
    use jiff::Timestamp;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(path: &str) -> LeaseKey {
        LeaseKey { store: "vault".into(), path: StorePath::try_from(path).unwrap(), holder: None, write: None }
    }

    fn lease(id: &str, path: &str) -> Lease {
        let grant = GrantedLifetime { ttl: Duration::from_mins(1), renewable: true };
        Lease {
            id: id.into(),
            key: key(path),
            mode: LeaseMode::Shared,
            holder: None,
            store_id: Arc::new(SecretValue::new("h".into())),
            values: None,
            login_number: 1,
            lifetime: LeaseLifetime::new(grant, Instant::now()),
            state: LeaseState::Active,
            revocation_reason: None,
            is_revoked_at_store: false,
            attempts: 0,
            acquired_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
            last_issued_at: Instant::now(),
            deliver_by: None,
            first_renewal_at: Instant::now(),
        }
    }

    fn held_by(namespace: &str, pod: &str, path: &str) -> Lease {
        let workload = Workload {
            namespace: namespace.into(),
            service_account: "build-bot".into(),
            pod: Pod { name: pod.into(), uid: format!("uid-of-{pod}") },
        };
        let caller = Arc::new(Caller {
            issuer: "cluster".into(),
            subject: "system:serviceaccount:ci:build-bot".into(),
            groups: Vec::new(),
            workload: Some(workload),
            unbound_account: None,
            claims: serde_json::Map::new(),
        });
        let key = LeaseKey { holder: Some(caller.identity()), ..key(path) };
        Lease { key, holder: Some(caller), ..lease(&format!("{pod} {path}"), path) }
    }

    fn revocation_reason() -> RevocationReason {
        RevocationReason { reason: "administrator", request: None }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_has_one_claim_and_is_urgent_if_revoked_during_it() {
        let (mut index, now) = (LeaseIndex::default(), Instant::now());
        index.insert(lease("a", "db/a"), now + SECOND, true);
        index.insert(lease("b", "db/b"), now + 2 * SECOND, true);
        assert!(index.claim_due(now, 9).is_empty(), "nothing is due yet");
        assert_eq!(index.claim_due(now + SECOND, 9), ["a".into()]);
        assert!(!index.claim("a") && index.claim_due(now + SECOND, 9).is_empty(), "it is claimed");
        assert_eq!(index.next_due(9), Some(now + 2 * SECOND));
        assert!(index.begin_revocation("a", revocation_reason()));
        assert!(!index.begin_revocation("a", revocation_reason()), "once");
        index.release("a", now + 100 * SECOND);
        assert_eq!(index.claim_due(now, 9), ["a".into()], "it was urgent");
        assert!(index.remove("a").is_some());
        assert_eq!((index.len(), index.next_due(9)), (1, Some(now + 2 * SECOND)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_waits_for_the_database_delays_no_lease_of_its_store() {
        let (mut index, now) = (LeaseIndex::default(), Instant::now());
        for id in ["a", "b", "c"] {
            index.insert(lease(id, "db/creds/r"), now, true);
        }
        assert_eq!(index.claim_due(now, 1), ["a".into()]);
        assert!(index.claim_due(now, 1).is_empty() && index.next_due(1).is_none(), "one of the store at a time");
        index.move_to_database_queue("a");
        assert_eq!((index.claim_due(now, 1), index.database_queue_len()), (vec!["b".into()], 1));
        index.release("a", now);
        assert_eq!(index.database_queue_len(), 0, "a renewed lease is one of its store again");
        index.begin_revocation("b", revocation_reason());
        index.clear_urgent("b");
        index.get("b").unwrap().is_revoked_at_store = true;
        index.move_to_database_queue("b");
        index.release("b", now + SECOND);
        assert_eq!(index.database_queue_len(), 1, "its store is not needed any more");
        assert_eq!(index.claim_due(now, 1), ["a".into()]);
        assert!(!index.begin_revocation("b", revocation_reason()), "it is already revoked");
        assert_eq!(index.claim_due(now + SECOND, 1), ["b".into()], "not earlier than it was");
        assert!(index.remove("b").is_some());
        assert_eq!(index.database_queue_len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_being_revoked_is_not_issued_but_its_replacement_is() {
        let (mut index, now) = (LeaseIndex::default(), Instant::now());
        index.insert(lease("a", "db/a"), now, true);
        index.insert(lease("b", "db/a"), now, true);
        assert_eq!(&*index.current(&key("db/a")).unwrap().id, "b", "the newer one");
        index.begin_revocation("a", revocation_reason());
        assert_eq!(&*index.current(&key("db/a")).unwrap().id, "b");
        index.begin_revocation("b", revocation_reason());
        assert!(index.current(&key("db/a")).is_none());
        assert!(index.active_ids(|_| true).is_empty());
        index.insert(lease("c", "db/a"), now, false);
        assert!(index.current(&key("db/a")).is_none(), "adopted");
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_recently_used_lease_is_evicted() {
        let mut index = LeaseIndex::default();
        for path in ["db/a", "db/b", "db/c"] {
            index.insert(lease(path, path), Instant::now(), true);
            tokio::time::advance(SECOND).await;
        }
        index.current(&key("db/a")).unwrap().last_issued_at = Instant::now();
        assert_eq!(index.eviction_candidate("vault", 3), None);
        assert_eq!(index.eviction_candidate("vault", 2).as_deref(), Some("db/b"));
        assert_eq!(index.eviction_candidate("other", 0), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_of_the_holder_with_most_leases_is_evicted() {
        let mut index = LeaseIndex::default();
        index.insert(held_by("ci", "honest", "db/honest"), Instant::now(), true);
        tokio::time::advance(SECOND).await;
        for number in 0..3 {
            index.insert(held_by("crowd", "greedy", &format!("db/{number}")), Instant::now(), true);
            tokio::time::advance(SECOND).await;
        }
        index.insert(held_by("crowd", "modest", "db/modest"), Instant::now(), true);
        index.insert(lease("shared", "db/shared"), Instant::now(), true);
        assert_eq!(index.eviction_candidate("vault", 6), None);
        assert_eq!(index.eviction_candidate("vault", 5).as_deref(), Some("greedy db/0"));
    }

    #[tokio::test]
    async fn a_lease_that_is_inserted_again_is_due_once() {
        let now = Instant::now();
        let mut index = LeaseIndex::default();
        assert!(index.insert(lease("a", "db/a"), now + SECOND, false).is_none());
        assert!(index.insert(lease("a", "db/a"), now + 100 * SECOND, true).is_some());
        assert_eq!(index.next_due(9), Some(now + 100 * SECOND));
        assert!(index.current(&key("db/a")).is_some());
        // A claim of the lease that was replaced ends.
        index.release("a", now + 2 * SECOND);
        assert_eq!(index.next_due(9), Some(now + 100 * SECOND));
        assert!(index.remove("a").is_some());
        assert_eq!(index.next_due(9), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_queue_does_not_delay_others() {
        let (mut index, now) = (LeaseIndex::default(), Instant::now());
        for number in 0..100 {
            index.insert(lease(&format!("slow{number}"), &format!("slow/creds/r{number}")), now, true);
        }
        index.insert(lease("good", "db/creds/r"), now + SECOND, true);
        assert_eq!(index.claim_due(now, 8).len(), 8);
        assert!(index.claim_due(now, 8).is_empty(), "the limit of the queue");
        assert_eq!(index.next_due(8), Some(now + SECOND), "the lane is full");
        assert_eq!(index.claim_due(now + SECOND, 8), ["good".into()]);
        index.release("good", now + SECOND);
        for id in index.ids().into_iter().filter(|id| id.starts_with("slow")) {
            index.remove(&id);
        }
        assert_eq!((index.queues.len(), index.next_due(1)), (1, Some(now + SECOND)));
    }
}
