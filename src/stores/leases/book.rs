//! The leases of this process: found by whom they are for, by their id, and by when something is due. Each operation is one
//! step under a lock, so that the book is whole whatever happens between two.

use super::held::{Held, Key, LeaseState, Why};
use crate::model::caller::Caller;
use crate::model::caller::Identity;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tokio::time::Instant;

type Id = Arc<str>;
/// What leases have in common that wait for one system: their store and the first two segments of their path.
type Lane = Arc<str>;

/// A lease, when something is due, and whether somebody is at it.
struct Page {
    held: Held,
    lane: Lane,
    due: Instant,
    at_work: bool,
    /// It is to be looked at as soon as nobody is at it any more.
    hurry: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Book {
    pages: HashMap<Id, Page>,
    /// The one of each key that is handed out.
    current: HashMap<Key, Id>,
    /// Each lane has its own, so that a system that is slow keeps nothing waiting but its own leases.
    queues: HashMap<Lane, Queue>,
}

/// The leases of one lane.
#[derive(Default)]
struct Queue {
    due: BTreeSet<(Instant, Id)>,
    at_work: usize,
}

fn lane(key: &Key) -> Lane {
    let path = key.path.as_str();
    let end = path.match_indices('/').nth(1).map_or(path.len(), |(at, _)| at);
    format!("{}\0{}", key.store, &path[..end]).into()
}

impl Book {
    /// Enters a lease; as `current` it is the one that is handed out from now on.
    pub(super) fn enter(&mut self, held: Held, due: Instant, current: bool) {
        let id = held.id.clone();
        if current {
            self.current.insert(held.key.clone(), id.clone());
        }
        let lane = lane(&held.key);
        self.queues.entry(lane.clone()).or_default().due.insert((due, id.clone()));
        self.pages.insert(id, Page { held, lane, due, at_work: false, hurry: false });
    }

    /// The lease that is handed out for a key.
    pub(super) fn current(&mut self, key: &Key) -> Option<&mut Held> {
        let id = self.current.get(key)?;
        self.pages.get_mut(id).map(|page| &mut page.held)
    }

    /// A lease.
    pub(super) fn get(&mut self, id: &str) -> Option<&mut Held> {
        self.pages.get_mut(id).map(|page| &mut page.held)
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.pages.len()
    }

    /// The ids of all of them.
    pub(super) fn ids(&self) -> HashSet<Id> {
        self.pages.keys().cloned().collect()
    }

    /// Takes the work on a lease, unless somebody has it.
    pub(super) fn claim(&mut self, id: &str) -> bool {
        match self.pages.get_mut(id) {
            Some(page) if !page.at_work => {
                page.at_work = true;
                let queue = self.queues.entry(page.lane.clone()).or_default();
                queue.at_work += 1;
                queue.due.remove(&(page.due, page.held.id.clone()))
            }
            _ => false,
        }
    }

    /// Takes the work on what is due, so that so many of a lane are worked on at most.
    pub(super) fn claim_due(&mut self, now: Instant, at_once: usize) -> Vec<Id> {
        let of_lane = |queue: &Queue| {
            let room = at_once.saturating_sub(queue.at_work);
            let due = queue.due.iter().take(room).take_while(|(at, _)| *at <= now);
            due.map(|(_, id)| id.clone()).collect::<Vec<_>>()
        };
        let due: Vec<Id> = self.queues.values().flat_map(of_lane).collect();
        due.into_iter().filter(|id| self.claim(id)).collect()
    }

    /// When the next thing is due of a lane of which fewer are worked on.
    pub(super) fn next_due(&self, at_once: usize) -> Option<Instant> {
        let with_room = self.queues.values().filter(|queue| queue.at_work < at_once);
        with_room.filter_map(|queue| queue.due.first()).map(|(at, _)| *at).min()
    }

    /// Gives the work back. Something is due then, or at once where it was put in a hurry meanwhile.
    pub(super) fn release(&mut self, id: &str, due: Instant) {
        let Some(page) = self.pages.get_mut(id) else { return };
        page.due = if std::mem::take(&mut page.hurry) { Instant::now() } else { due };
        let queue = self.queues.entry(page.lane.clone()).or_default();
        if std::mem::take(&mut page.at_work) {
            queue.at_work = queue.at_work.saturating_sub(1);
        }
        queue.due.insert((page.due, page.held.id.clone()));
    }

    /// Begins to take a lease back: it is not handed out any more. Whether it was active until now.
    pub(super) fn retire(&mut self, id: &str, why: Why) -> bool {
        let Some(page) = self.pages.get_mut(id) else { return false };
        let was_active = page.held.state == LeaseState::Active;
        page.held.state = LeaseState::Revoking;
        page.held.attempts = 0;
        page.held.why = Some(why);
        if page.at_work {
            page.hurry = true;
        } else {
            let queue = self.queues.entry(page.lane.clone()).or_default();
            queue.due.remove(&(page.due, page.held.id.clone()));
            page.due = Instant::now();
            queue.due.insert((page.due, page.held.id.clone()));
        }
        if self.current.get(&page.held.key) == Some(&page.held.id) {
            self.current.remove(&page.held.key);
        }
        was_active
    }

    /// Whoever put a lease in a hurry has the work on it already.
    pub(super) fn calm(&mut self, id: &str) {
        if let Some(page) = self.pages.get_mut(id) {
            page.hurry = false;
        }
    }

    /// Strikes a lease out.
    pub(super) fn strike(&mut self, id: &str) -> Option<Held> {
        let page = self.pages.remove(id)?;
        if let Some(queue) = self.queues.get_mut(&page.lane) {
            queue.due.remove(&(page.due, page.held.id.clone()));
            queue.at_work = queue.at_work.saturating_sub(usize::from(page.at_work));
            if queue.due.is_empty() && queue.at_work == 0 {
                self.queues.remove(&page.lane);
            }
        }
        if self.current.get(&page.held.key) == Some(&page.held.id) {
            self.current.remove(&page.held.key);
        }
        Some(page.held)
    }

    /// Everything in it; the book is empty then.
    pub(super) fn clear(&mut self) -> Vec<Held> {
        self.current.clear();
        self.queues.clear();
        self.pages.drain().map(|(_, page)| page.held).collect()
    }

    /// The active leases that fit.
    pub(super) fn active(&self, fits: impl Fn(&Held) -> bool) -> Vec<Id> {
        let active = self.pages.values().map(|page| &page.held).filter(|held| held.state == LeaseState::Active);
        active.filter(|held| fits(held)).map(|held| held.id.clone()).collect()
    }

    /// The pods that hold active leases, each once.
    pub(super) fn pods(&self) -> Vec<Arc<Caller>> {
        let mut seen: HashSet<Identity> = HashSet::new();
        let active = self.pages.values().map(|page| &page.held).filter(|held| held.state == LeaseState::Active);
        let holders = active.filter_map(|held| held.holder.as_ref()).filter(|holder| holder.workload.is_some());
        holders.filter(|holder| seen.insert(holder.identity())).cloned().collect()
    }

    /// The stores of the active leases that pods hold, each with the authenticator that vouched for its pod.
    pub(super) fn origins(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        let active = self.pages.values().map(|page| &page.held).filter(|held| held.state == LeaseState::Active);
        active.filter_map(|held| {
            let holder = held.holder.as_ref().filter(|holder| holder.workload.is_some())?;
            Some((&held.key.store, &holder.issuer))
        })
    }

    /// Where more leases of a store are handed out than so many, one of them: of the namespace that has most, of the holder
    /// in it that has most, the one that was asked for least lately. So who makes many gives up its own.
    pub(super) fn one_too_many(&self, store: &str, most: u64) -> Option<Id> {
        let handed_out = || {
            let pages = self.current.values().filter_map(|id| self.pages.get(id));
            pages.map(|page| &page.held).filter(|held| *held.key.store == *store)
        };
        if u64::try_from(handed_out().count()).unwrap_or(u64::MAX) <= most {
            return None;
        }
        let (mut of_namespace, mut of_holder) = (HashMap::<_, u64>::new(), HashMap::<_, u64>::new());
        for held in handed_out() {
            *of_namespace.entry(namespace(held)).or_default() += 1;
            *of_holder.entry(&held.key.holder).or_default() += 1;
        }
        let most = handed_out().max_by_key(|held| {
            let share = (of_namespace.get(&namespace(held)).copied(), of_holder.get(&held.key.holder).copied());
            (share, Reverse(held.used))
        });
        most.map(|held| held.id.clone())
    }
}

/// Whose leases count together: those of a namespace, of an OIDC subject, and those that are shared.
fn namespace(held: &Held) -> Option<(&str, &str)> {
    let holder = held.holder.as_ref()?;
    let name = holder.workload.as_ref().map_or(holder.subject.as_str(), |workload| workload.namespace.as_str());
    Some((&*holder.issuer, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::caller::{Pod, Workload};
    use crate::model::lease::LeaseMode;
    use crate::model::secret::SecretValue;
    use crate::stores::dynamic::Grant;
    use crate::stores::leases::held::Term;
    use crate::stores::path::StorePath;
    use jiff::Timestamp;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(path: &str) -> Key {
        Key { store: "vault".into(), path: StorePath::try_from(path).unwrap(), holder: None, write: None }
    }

    fn held(id: &str, path: &str) -> Held {
        let grant = Grant { ttl: Duration::from_mins(1), renewable: true };
        Held {
            id: id.into(),
            key: key(path),
            mode: LeaseMode::Shared,
            holder: None,
            handle: Arc::new(SecretValue::new("h".into())),
            values: None,
            session: 1,
            term: Term::new(grant, Instant::now()),
            state: LeaseState::Active,
            why: None,
            attempts: 0,
            acquired_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
            used: Instant::now(),
            untaken_until: None,
            planned: Instant::now(),
        }
    }

    /// The lease of a pod.
    fn held_by(namespace: &str, pod: &str, path: &str) -> Held {
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
            claims: serde_json::Map::new(),
        });
        let key = Key { holder: Some(caller.identity()), ..key(path) };
        Held { key, holder: Some(caller), ..held(&format!("{pod} {path}"), path) }
    }

    fn why() -> Why {
        Why { reason: "administrator", by: None }
    }

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_works_on_a_lease_and_what_is_retired_meanwhile_comes_next() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.enter(held("a", "db/a"), now + SECOND, true);
        book.enter(held("b", "db/b"), now + 2 * SECOND, true);
        assert!(book.claim_due(now, 9).is_empty(), "nothing is due yet");
        assert_eq!(book.claim_due(now + SECOND, 9), ["a".into()]);
        assert!(!book.claim("a") && book.claim_due(now + SECOND, 9).is_empty(), "somebody is at it");
        assert_eq!(book.next_due(9), Some(now + 2 * SECOND));
        assert!(book.retire("a", why()));
        assert!(!book.retire("a", why()), "once");
        book.release("a", now + 100 * SECOND);
        assert_eq!(book.claim_due(now, 9), ["a".into()], "in a hurry");
        assert!(book.strike("a").is_some());
        assert_eq!((book.len(), book.next_due(9)), (1, Some(now + 2 * SECOND)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_retired_is_not_handed_out_and_what_replaces_it_is() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.enter(held("a", "db/a"), now, true);
        book.enter(held("b", "db/a"), now, true);
        assert_eq!(&*book.current(&key("db/a")).unwrap().id, "b", "the newer one");
        book.retire("a", why());
        assert_eq!(&*book.current(&key("db/a")).unwrap().id, "b");
        book.retire("b", why());
        assert!(book.current(&key("db/a")).is_none());
        assert!(book.active(|_| true).is_empty());
        book.enter(held("c", "db/a"), now, false);
        assert!(book.current(&key("db/a")).is_none(), "adopted");
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_too_many_is_the_one_that_nobody_asked_for() {
        let mut book = Book::default();
        for path in ["db/a", "db/b", "db/c"] {
            book.enter(held(path, path), Instant::now(), true);
            tokio::time::advance(SECOND).await;
        }
        book.current(&key("db/a")).unwrap().used = Instant::now();
        assert_eq!(book.one_too_many("vault", 3), None);
        assert_eq!(book.one_too_many("vault", 2).as_deref(), Some("db/b"));
        assert_eq!(book.one_too_many("other", 0), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_most_gives_up_its_own() {
        let mut book = Book::default();
        book.enter(held_by("ci", "honest", "db/honest"), Instant::now(), true);
        tokio::time::advance(SECOND).await;
        for number in 0..3 {
            book.enter(held_by("crowd", "greedy", &format!("db/{number}")), Instant::now(), true);
            tokio::time::advance(SECOND).await;
        }
        book.enter(held_by("crowd", "modest", "db/modest"), Instant::now(), true);
        book.enter(held("shared", "db/shared"), Instant::now(), true);
        assert_eq!(book.one_too_many("vault", 6), None);
        assert_eq!(book.one_too_many("vault", 5).as_deref(), Some("greedy db/0"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_lane_keeps_no_other_waiting() {
        let (mut book, now) = (Book::default(), Instant::now());
        for number in 0..100 {
            book.enter(held(&format!("slow{number}"), &format!("slow/creds/r{number}")), now, true);
        }
        book.enter(held("good", "db/creds/r"), now + SECOND, true);
        assert_eq!(book.claim_due(now, 8).len(), 8);
        assert!(book.claim_due(now, 8).is_empty(), "so many of a lane");
        assert_eq!(book.next_due(8), Some(now + SECOND), "the lane is full");
        assert_eq!(book.claim_due(now + SECOND, 8), ["good".into()]);
        book.release("good", now + SECOND);
        for id in book.ids().into_iter().filter(|id| id.starts_with("slow")) {
            book.strike(&id);
        }
        assert_eq!((book.queues.len(), book.next_due(1)), (1, Some(now + SECOND)));
    }
}
