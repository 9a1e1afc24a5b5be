//! One flight for many: whoever asks for what is being fetched already waits for that. Knows nothing of what is fetched.

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Something on its way. Everyone who waits for it gets a clone.
pub(super) type Flight<T> = Shared<BoxFuture<'static, T>>;

/// What is on its way, at most one flight for a key.
pub(super) struct Flights<K, T> {
    aloft: Arc<Aloft<K, T>>,
}

/// Held for a map operation, never across an `.await`.
struct Aloft<K, T>(Mutex<HashMap<K, Flight<T>>>);

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self { aloft: Arc::new(Aloft(Mutex::default())) }
    }
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static, T: Clone + Send + Sync + 'static> Flights<K, T> {
    /// Joins the flight for this key (`true`), or starts one. It runs in a task of its own, so that whoever started it
    /// may hang up and fail nobody. If it panics, everyone gets `lost`.
    pub(super) fn board<F>(&self, key: &K, lost: T, start: impl FnOnce() -> F) -> (Flight<T>, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut aloft = self.aloft.lock();
        if let Some(flight) = aloft.get(key) {
            return (flight.clone(), true);
        }
        let landing = Landing { aloft: self.aloft.clone(), key: key.clone() };
        let work = start();
        let task = tokio::spawn(async move {
            let _landing = landing;
            work.await
        });
        let flight = task.map(|ended| ended.unwrap_or(lost)).boxed().shared();
        aloft.insert(key.clone(), flight.clone());
        (flight, false)
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.aloft.lock().len()
    }
}

impl<K, T> Aloft<K, T> {
    /// A panic while the map was held leaves it whole: every operation on it is a single call.
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Flight<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a flight off the board when it ends, however it ends.
struct Landing<K: Eq + Hash, T> {
    aloft: Arc<Aloft<K, T>>,
    key: K,
}

impl<K: Eq + Hash, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        self.aloft.lock().remove(&self.key);
    }
}
