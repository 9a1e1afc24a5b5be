//! SINGLE FLIGHT: concurrent requests for one key share one run of the work, in a task of its own.

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::Instrument as _;

/// The runs under way, by key. It caches no results; that is left to the caller.
pub struct SingleFlight<K, V>(Mutex<HashMap<K, Flight<V>>>);

/// A run in progress. A waiting caller may leave without an effect on the others. `None` if the work panicked.
pub type Flight<V> = Shared<BoxFuture<'static, Option<V>>>;

impl<K, V> SingleFlight<K, V>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// No runs.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    /// The current run of this key, or a new one. Another run may have ended between the caller's cache look-up
    /// and this call, so the work must begin with another look-up.
    pub fn join<F, R>(self: &Arc<Self>, key: K, question: F) -> Flight<V>
    where
        F: FnOnce() -> R,
        R: Future<Output = V> + Send + 'static,
    {
        self.run(key, question).0
    }

    /// Like [`Self::join`]; also returns whether the run was already in progress.
    pub fn run<F, R>(self: &Arc<Self>, key: K, question: F) -> (Flight<V>, bool)
    where
        F: FnOnce() -> R,
        R: Future<Output = V> + Send + 'static,
    {
        let mut under_way = self.under_way();
        if let Some(flight) = under_way.get(&key) {
            return (flight.clone(), true);
        }
        // Boxed, because the task is moved several times before it starts: a review has ten kilobytes.
        let question = Box::pin(question());
        let remove_on_drop = RemoveOnDrop { flights: self.clone(), key: key.clone() };
        let task = async move {
            let _remove_on_drop = remove_on_drop;
            question.await
        };
        // The run is traced as part of the first caller's request.
        let task = tokio::spawn(task.in_current_span());
        let flight = task.map(Result::ok).boxed().shared();
        under_way.insert(key, flight.clone());
        (flight, false)
    }

    /// The number of handles to the run of this key, including the map's own.
    #[cfg(test)]
    pub fn waiting(&self, key: &K) -> usize {
        self.under_way().get(key).and_then(Shared::strong_count).unwrap_or(0)
    }
}

impl<K, V> SingleFlight<K, V> {
    /// A panic under the lock leaves a consistent map: each step on it is one call.
    fn under_way(&self) -> MutexGuard<'_, HashMap<K, Flight<V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the run from the map when its task ends, also by a panic.
struct RemoveOnDrop<K: Eq + Hash, V> {
    flights: Arc<SingleFlight<K, V>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for RemoveOnDrop<K, V> {
    fn drop(&mut self) {
        // Dropped outside the lock, because dropping a result runs code of its type.
        let _landed = self.flights.under_way().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_thousand_at_once_are_one_question() {
        let flights = SingleFlight::<&str, usize>::new();
        let (asked, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let join = |_| {
            let (asked, gate) = (asked.clone(), gate.clone());
            let flight = flights.join("a", || async move {
                let number = asked.fetch_add(1, Ordering::SeqCst);
                gate.notified().await;
                number
            });
            tokio::spawn(flight)
        };
        let all: Vec<_> = (0..1000).map(join).collect();
        let other = flights.join("b", || async { 7 }).await;
        assert_eq!(other, Some(7), "another key is another flight");
        assert_eq!(flights.waiting(&"a"), 1001);
        gate.notify_one();
        for one in all {
            assert_eq!(one.await.unwrap(), Some(0));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(flights.under_way().is_empty());
        assert_eq!(flights.join("a", || async { 9 }).await, Some(9), "nothing is kept");
    }

    #[tokio::test]
    async fn who_asked_first_may_hang_up() {
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
        assert_eq!(second.await, Some(1), "the first one's question went on");
    }

    #[tokio::test]
    async fn a_question_that_panics_is_no_answer_and_does_not_stay() {
        let flights = SingleFlight::<(), u8>::new();
        assert_eq!(flights.join((), || async { panic!("on purpose") }).await, None);
        assert_eq!(flights.join((), || async { 1 }).await, Some(1));
    }

    /// The reason not to use `moka`'s own coalescing: its work runs in the task of the first caller, and restarts
    /// if that caller leaves.
    #[tokio::test(start_paused = true)]
    async fn moka_asks_again_where_who_asked_first_hangs_up() {
        let cache = moka::future::Cache::<(), u8>::new(1);
        let asked = Arc::new(AtomicUsize::new(0));
        let asks = || {
            let (cache, asked) = (cache.clone(), asked.clone());
            let question = async move {
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                1
            };
            tokio::spawn(async move { cache.get_with((), question).await })
        };
        let (first, second) = (asks(), asks());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        first.abort();
        assert_eq!(second.await.unwrap(), 1);
        assert_eq!(asked.load(Ordering::SeqCst), 2, "the store was asked twice for one answer");
    }
}
