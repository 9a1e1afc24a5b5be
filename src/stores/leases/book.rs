//! The leases of this process: found by whom they are for, by their id, and by when something is due. Each operation is one
//! step under a lock, so that the book is whole whatever happens between two.

use super::held::{Held, Key, LeaseState, Why};
use crate::model::caller::Caller;
use crate::model::caller::Identity;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tokio::time::Instant;

type Id = Arc<str>;

/// A lease, when something is due, and whether somebody is at it.
struct Page {
    held: Held,
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
    due: BTreeSet<(Instant, Id)>,
}

impl Book {
    /// Enters a lease; as `current` it is the one that is handed out from now on.
    pub(super) fn enter(&mut self, held: Held, due: Instant, current: bool) {
        let id = held.id.clone();
        if current {
            self.current.insert(held.key.clone(), id.clone());
        }
        self.due.insert((due, id.clone()));
        self.pages.insert(id, Page { held, due, at_work: false, hurry: false });
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
    pub(super) fn len(&self) -> usize {
        self.pages.len()
    }

    /// Takes the work on a lease, unless somebody has it.
    pub(super) fn claim(&mut self, id: &str) -> bool {
        match self.pages.get_mut(id) {
            Some(page) if !page.at_work => {
                page.at_work = true;
                self.due.remove(&(page.due, page.held.id.clone()))
            }
            _ => false,
        }
    }

    /// Takes the work on what is due, at most so many.
    pub(super) fn claim_due(&mut self, now: Instant, most: usize) -> Vec<Id> {
        let due: Vec<Id> =
            self.due.iter().take(most).take_while(|(at, _)| *at <= now).map(|(_, id)| id.clone()).collect();
        due.into_iter().filter(|id| self.claim(id)).collect()
    }

    /// When the next thing is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Gives the work back. Something is due then, or at once where it was put in a hurry meanwhile.
    pub(super) fn release(&mut self, id: &str, due: Instant) {
        let Some(page) = self.pages.get_mut(id) else { return };
        page.due = if std::mem::take(&mut page.hurry) { Instant::now() } else { due };
        page.at_work = false;
        self.due.insert((page.due, page.held.id.clone()));
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
            self.due.remove(&(page.due, page.held.id.clone()));
            page.due = Instant::now();
            self.due.insert((page.due, page.held.id.clone()));
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
        self.due.remove(&(page.due, page.held.id.clone()));
        if self.current.get(&page.held.key) == Some(&page.held.id) {
            self.current.remove(&page.held.key);
        }
        Some(page.held)
    }

    /// Everything in it; the book is empty then.
    pub(super) fn clear(&mut self) -> Vec<Held> {
        self.current.clear();
        self.due.clear();
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

    /// Of the leases of a store that are handed out, the one that was asked for least lately, where there are more than so
    /// many.
    pub(super) fn one_too_many(&self, store: &str, most: u64) -> Option<Id> {
        let mut count = 0;
        let mut oldest: Option<&Held> = None;
        for id in self.current.values() {
            let Some(page) = self.pages.get(id).filter(|page| *page.held.key.store == *store) else { continue };
            count += 1;
            if oldest.is_none_or(|oldest| page.held.used < oldest.used) {
                oldest = Some(&page.held);
            }
        }
        oldest.filter(|_| count > most).map(|held| held.id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        }
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
        assert_eq!(book.next_due(), Some(now + 2 * SECOND));
        assert!(book.retire("a", why()));
        assert!(!book.retire("a", why()), "once");
        book.release("a", now + 100 * SECOND);
        assert_eq!(book.claim_due(now, 9), ["a".into()], "in a hurry");
        assert!(book.strike("a").is_some());
        assert_eq!((book.len(), book.next_due()), (1, Some(now + 2 * SECOND)));
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
}
