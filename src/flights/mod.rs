//! Single flight: concurrent callers with the same key share one run of the work, which has its own task.

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::Instrument as _;

/// The runs in progress, by key. Results are not cached.
pub struct SingleFlight<K, V>(Mutex<Runs<K, V>>);

struct Runs<K, V> {
    by_key: HashMap<K, (u64, Flight<V>)>,
    /// The number of the last run, by which a run that ends tells itself from a later one with its key.
    last: u64,
}

/// A handle to a run in progress. Dropping it does not stop the run. Awaiting it returns the result of the run, or `None` if the
/// work panicked.
pub type Flight<V> = Shared<BoxFuture<'static, Option<V>>>;

impl<K, V> SingleFlight<K, V>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A map without runs.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Runs { by_key: HashMap::new(), last: 0 })))
    }

    /// Joins the run of this key, or starts one. Another run may have ended between the caller's cache look-up
    /// and this call, so the work must begin with another look-up.
    pub fn join<F, R>(self: &Arc<Self>, key: K, work: F) -> Flight<V>
    where
        F: FnOnce() -> R,
        R: Future<Output = V> + Send + 'static,
    {
        self.run(key, work).0
    }

    /// Like [`Self::join`]. Also returns whether the run was already in progress.
    pub fn run<F, R>(self: &Arc<Self>, key: K, work: F) -> (Flight<V>, bool)
    where
        F: FnOnce() -> R,
        R: Future<Output = V> + Send + 'static,
    {
        let mut runs = self.runs();
        if let Some((_, flight)) = runs.by_key.get(&key) {
            return (flight.clone(), true);
        }
        runs.last += 1;
        let number = runs.last;
        // Boxed, because the task is moved several times before it starts, and the future of a TokenReview has ten kilobytes.
        let work = Box::pin(work());
        let remove_on_drop = RemoveOnDrop { flights: self.clone(), key: key.clone(), number };
        let task = async move {
            let _remove_on_drop = remove_on_drop;
            work.await
        };
        // The run is traced as part of the first caller's request.
        let task = tokio::spawn(task.in_current_span());
        let flight = task.map(Result::ok).boxed().shared();
        runs.by_key.insert(key, (number, flight.clone()));
        (flight, false)
    }

    /// Lets later callers with this key start a new run. A run in progress continues for the callers that have joined it.
    pub fn forget(&self, key: &K) {
        // Dropped after the lock is released, as in `RemoveOnDrop`.
        let _forgotten = self.runs().by_key.remove(key);
    }

    /// The same as [`Self::forget`] for every key.
    pub fn forget_all(&self) {
        let _forgotten = std::mem::take(&mut self.runs().by_key);
    }

    /// The number of handles to the run of this key, including the map's.
    #[cfg(test)]
    pub fn handle_count(&self, key: &K) -> usize {
        self.runs().by_key.get(key).and_then(|(_, flight)| flight.strong_count()).unwrap_or(0)
    }
}

impl<K, V> SingleFlight<K, V> {
    /// The map. Poisoning is ignored: every change of the map is a single call, so a panic leaves the map consistent.
    fn runs(&self) -> MutexGuard<'_, Runs<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the run from the map when its task ends or panics.
struct RemoveOnDrop<K: Eq + Hash, V> {
    flights: Arc<SingleFlight<K, V>>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, V> Drop for RemoveOnDrop<K, V> {
    fn drop(&mut self) {
        let mut runs = self.flights.runs();
        let is_own = runs.by_key.get(&self.key).is_some_and(|(number, _)| *number == self.number);
        let removed = if is_own { runs.by_key.remove(&self.key) } else { None };
        // The value is dropped after the lock is released, because dropping it runs code of its type.
        drop(runs);
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_thousand_concurrent_callers_share_one_run() {
        let flights = SingleFlight::<&str, usize>::new();
        let (runs, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let join = |_| {
            let (runs, gate) = (runs.clone(), gate.clone());
            let flight = flights.join("a", || async move {
                let number = runs.fetch_add(1, Ordering::SeqCst);
                gate.notified().await;
                number
            });
            tokio::spawn(flight)
        };
        let all: Vec<_> = (0..1000).map(join).collect();
        let other = flights.join("b", || async { 7 }).await;
        assert_eq!(other, Some(7), "another key has its own run");
        assert_eq!(flights.handle_count(&"a"), 1001);
        gate.notify_one();
        for one in all {
            assert_eq!(one.await.unwrap(), Some(0));
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert!(flights.runs().by_key.is_empty());
        assert_eq!(flights.join("a", || async { 9 }).await, Some(9), "results are not cached");
    }

    #[tokio::test]
    async fn a_run_continues_if_its_first_caller_leaves() {
        let flights = SingleFlight::<(), u8>::new();
        let gate = Arc::new(Notify::new());
        let waiting = gate.clone();
        let first = flights.join((), || async move {
            waiting.notified().await;
            1
        });
        drop(first);
        let second = flights.join((), || async { 2 });
        gate.notify_one();
        assert_eq!(second.await, Some(1), "the first run continued");
    }

    #[tokio::test]
    async fn a_forgotten_run_ends_for_its_callers_and_not_for_later_ones() {
        let flights = SingleFlight::<(), u8>::new();
        for forget in [(|flights| flights.forget(&())) as fn(&SingleFlight<(), u8>), SingleFlight::forget_all] {
            let (old_gate, new_gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let start = |gate: &Arc<Notify>, value| {
                let gate = gate.clone();
                flights.run((), move || async move {
                    gate.notified().await;
                    value
                })
            };
            let (before, _) = start(&old_gate, 1);
            forget(&flights);
            let (after, joined) = start(&new_gate, 2);
            assert!(!joined, "a run of its own");
            old_gate.notify_one();
            assert_eq!(before.await, Some(1));
            assert!(start(&new_gate, 3).1, "the end of the old run does not remove the new one");
            new_gate.notify_one();
            assert_eq!(after.await, Some(2));
            assert_eq!(flights.handle_count(&()), 0);
        }
    }

    #[tokio::test]
    async fn a_panic_gives_none_and_removes_the_run() {
        let flights = SingleFlight::<(), u8>::new();
        assert_eq!(flights.join((), || async { panic!("on purpose") }).await, None);
        assert_eq!(flights.join((), || async { 1 }).await, Some(1));
    }

    /// Why `moka`'s coalescing is not used: it runs the work in the task of the first caller, and restarts the work if that caller
    /// leaves.
    #[tokio::test(start_paused = true)]
    async fn moka_restarts_the_work_if_its_first_caller_leaves() {
        let cache = moka::future::Cache::<(), u8>::new(1);
        let runs = Arc::new(AtomicUsize::new(0));
        let call = || {
            let (cache, runs) = (cache.clone(), runs.clone());
            let work = async move {
                runs.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                1
            };
            tokio::spawn(async move { cache.get_with((), work).await })
        };
        let (first, second) = (call(), call());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        first.abort();
        assert_eq!(second.await.unwrap(), 1);
        assert_eq!(runs.load(Ordering::SeqCst), 2, "the work ran twice for one result");
    }
}
