//! Tests of the cache with a store that counts its reads and returns prepared results.

use super::*;
use crate::model::secret::SecretValue;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

const SECOND: Duration = Duration::from_secs(1);
const SETTINGS: CacheSettings = CacheSettings {
    ttl: Duration::from_mins(1),
    negative_ttl: Duration::from_secs(10),
    serve_stale_for: Duration::from_mins(10),
    max_entries: 100,
};

/// Returns the result that is prepared when a read begins, as soon as the gate allows it.
struct CountingStore {
    result: Mutex<Result<&'static str, ReadError>>,
    reads: AtomicUsize,
    gate: Semaphore,
    panics: bool,
}

impl CountingStore {
    fn set_result(&self, result: Result<&'static str, ReadError>) {
        *self.result.lock().unwrap() = result;
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl SecretStore for CountingStore {
    async fn read(&self, _path: &StorePath, _request_id: &RequestId) -> ReadResult {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let result = *self.result.lock().unwrap();
        let _pass = self.gate.acquire().await.unwrap();
        assert!(!self.panics, "the test requests a panic");
        let value = result?;
        let data = [("K".to_owned(), Some(SecretValue::new(value.into())))].into();
        Ok(Arc::new(Secret { data, version: None, created_at: None, stale: false }))
    }
}

fn cached_store(settings: CacheSettings) -> (Arc<CountingStore>, Arc<CachedStore>, Arc<Metrics>) {
    let gate = Semaphore::new(Semaphore::MAX_PERMITS);
    cached_over(
        CountingStore { result: Mutex::new(Ok("one")), reads: AtomicUsize::new(0), gate, panics: false },
        settings,
    )
}

fn cached_over(store: CountingStore, settings: CacheSettings) -> (Arc<CountingStore>, Arc<CachedStore>, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new(&[], &["vault"]).unwrap());
    let store = Arc::new(store);
    let cached = CachedStore::new(&"vault".into(), store.clone(), settings, &metrics).unwrap();
    (store, Arc::new(cached), metrics)
}

/// The value and whether it is stale.
#[expect(clippy::disallowed_methods, reason = "the test compares the values")]
async fn read(cached: &CachedStore, path: &str) -> Result<(String, bool), ReadError> {
    let secret = cached.read(&StorePath::try_from(path).unwrap(), &RequestId::random()).await?;
    Ok((secret.data["K"].as_ref().unwrap().expose_secret().to_owned(), secret.stale))
}

#[expect(clippy::unnecessary_wraps, reason = "compared with the result of a read")]
fn fresh(value: &str) -> Result<(String, bool), ReadError> {
    Ok((value.into(), false))
}

fn a_second_less_than(time: Duration) -> Duration {
    time.saturating_sub(SECOND)
}

/// Ages of a secret that is refreshed in the background, and of one that is not yet.
const AGE_AFTER_REFRESH: Duration = SETTINGS.ttl.saturating_mul(86).checked_div(100).unwrap();
const AGE_BEFORE_REFRESH: Duration = SETTINGS.ttl.saturating_mul(74).checked_div(100).unwrap();

fn request_count(metrics: &Metrics, outcome: &str) -> u64 {
    let text = String::from_utf8(metrics.encode().unwrap()).unwrap();
    let series = format!("claviger_lease_cache_requests_total{{outcome=\"{outcome}\",store=\"vault\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
}

/// The number of cached secrets, from the gauge.
fn cached_count(metrics: &Metrics) -> u64 {
    let text = String::from_utf8(metrics.encode().unwrap()).unwrap();
    let series = "claviger_leases_active{store=\"vault\"} ";
    text.lines().find_map(|line| line.strip_prefix(series)).unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_fresh_secret_is_not_read_again() {
    let (store, cached, metrics) = cached_store(SETTINGS);
    assert_eq!(read(&cached, "a").await, fresh("one"));
    store.set_result(Ok("two"));
    tokio::time::advance(AGE_BEFORE_REFRESH).await;
    assert_eq!(read(&cached, "a").await, fresh("one"));
    settle().await;
    assert_eq!(store.reads(), 1);
    tokio::time::advance(SETTINGS.ttl.saturating_sub(AGE_BEFORE_REFRESH)).await;
    assert_eq!(read(&cached, "a").await, fresh("two"));
    assert_eq!(read(&cached, "b").await, fresh("two"), "another path is another secret");
    assert_eq!((store.reads(), request_count(&metrics, "hit"), request_count(&metrics, "miss")), (3, 1, 3));
}

#[tokio::test(start_paused = true)]
async fn an_absence_is_cached_for_the_negative_ttl() {
    let (store, cached, _) = cached_store(SETTINGS);
    store.set_result(Err(ReadError::Absent));
    assert_eq!(read(&cached, "a").await, Err(ReadError::Absent));
    store.set_result(Ok("one"));
    tokio::time::advance(a_second_less_than(SETTINGS.negative_ttl)).await;
    assert_eq!(read(&cached, "a").await, Err(ReadError::Absent));
    settle().await;
    assert_eq!(store.reads(), 1, "an absence is not read again in the background");
    tokio::time::advance(SECOND).await;
    assert_eq!(read(&cached, "a").await, fresh("one"));
    assert_eq!(store.reads(), 2);
}

#[tokio::test(start_paused = true)]
async fn other_errors_are_not_cached() {
    for error in [ReadError::Deleted, ReadError::Forbidden, ReadError::Misconfigured, ReadError::Unavailable] {
        let (store, cached, _) = cached_store(SETTINGS);
        store.set_result(Err(error));
        assert_eq!(read(&cached, "a").await, Err(error));
        store.set_result(Ok("one"));
        assert_eq!(read(&cached, "a").await, fresh("one"), "after {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_secret_is_served_only_within_serve_stale_for() {
    let (store, cached, metrics) = cached_store(SETTINGS);
    assert_eq!(read(&cached, "a").await, fresh("one"));
    store.set_result(Err(ReadError::Unavailable));
    tokio::time::advance(a_second_less_than(SETTINGS.ttl + SETTINGS.serve_stale_for)).await;
    assert_eq!(read(&cached, "a").await, Ok(("one".into(), true)));
    assert_eq!(read(&cached, "b").await, Err(ReadError::Unavailable), "there is nothing old of another path");
    store.set_result(Ok("two"));
    assert_eq!(read(&cached, "a").await, fresh("two"), "the first answer ends it");

    store.set_result(Err(ReadError::Unavailable));
    tokio::time::advance(SETTINGS.ttl + SETTINGS.serve_stale_for).await;
    assert_eq!(read(&cached, "a").await, Err(ReadError::Unavailable));
    assert_eq!(request_count(&metrics, "stale"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_definite_error_of_the_store_replaces_the_cached_secret() {
    for error in [ReadError::Forbidden, ReadError::Misconfigured, ReadError::Absent, ReadError::Deleted] {
        let (store, cached, _) = cached_store(SETTINGS);
        assert_eq!(read(&cached, "a").await, fresh("one"));
        tokio::time::advance(SETTINGS.ttl).await;
        store.set_result(Err(error));
        assert_eq!(read(&cached, "a").await, Err(error));
        tokio::time::advance(SETTINGS.negative_ttl).await;
        store.set_result(Err(ReadError::Unavailable));
        assert_eq!(read(&cached, "a").await, Err(ReadError::Unavailable), "after {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_near_its_end_is_refreshed_in_the_background() {
    let (store, cached, metrics) = cached_store(SETTINGS);
    assert_eq!(read(&cached, "a").await, fresh("one"));
    store.set_result(Ok("two"));
    store.gate.forget_permits(Semaphore::MAX_PERMITS);
    tokio::time::advance(AGE_AFTER_REFRESH).await;
    for _ in 0..100 {
        assert_eq!(read(&cached, "a").await, fresh("one"), "nobody waits for the store");
    }
    settle().await;
    assert_eq!(store.reads(), 2, "one read, however many asked");
    store.gate.add_permits(1);
    settle().await;
    assert_eq!(read(&cached, "a").await, fresh("two"));
    tokio::time::advance(AGE_BEFORE_REFRESH).await;
    assert_eq!(read(&cached, "a").await, fresh("two"), "its time begins anew");
    settle().await;
    assert_eq!((store.reads(), request_count(&metrics, "hit"), request_count(&metrics, "miss")), (2, 102, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reader_joins_the_refresh_if_the_secret_expires_meanwhile() {
    let (store, cached, metrics) = cached_store(SETTINGS);
    assert_eq!(read(&cached, "a").await, fresh("one"));
    store.set_result(Ok("two"));
    store.gate.forget_permits(Semaphore::MAX_PERMITS);
    tokio::time::advance(AGE_AFTER_REFRESH).await;
    assert_eq!(read(&cached, "a").await, fresh("one"));
    tokio::time::advance(SETTINGS.ttl.saturating_sub(AGE_AFTER_REFRESH)).await;
    let late = tokio::spawn({
        let cached = cached.clone();
        async move { read(&cached, "a").await }
    });
    settle().await;
    store.gate.add_permits(1);
    assert_eq!(late.await.unwrap(), fresh("two"));
    assert_eq!((store.reads(), request_count(&metrics, "coalesced")), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_keeps_the_secret_until_it_expires() {
    let (store, cached, _) = cached_store(SETTINGS);
    assert_eq!(read(&cached, "a").await, fresh("one"));
    store.set_result(Err(ReadError::Unavailable));
    tokio::time::advance(AGE_AFTER_REFRESH).await;
    for _ in 0..100 {
        assert_eq!(read(&cached, "a").await, fresh("one"), "served, and not as stale");
        settle().await;
    }
    assert_eq!(store.reads(), 2, "one attempt");
    tokio::time::advance(SETTINGS.ttl.saturating_sub(AGE_AFTER_REFRESH)).await;
    assert_eq!(read(&cached, "a").await, Ok(("one".into(), true)));
    assert_eq!(store.reads(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_result_of_a_refresh_replaces_the_secret_at_once() {
    for error in [ReadError::Absent, ReadError::Deleted, ReadError::Forbidden, ReadError::Misconfigured] {
        let (store, cached, metrics) = cached_store(SETTINGS);
        assert_eq!(read(&cached, "a").await, fresh("one"));
        store.set_result(Err(error));
        tokio::time::advance(AGE_AFTER_REFRESH).await;
        assert_eq!(read(&cached, "a").await, fresh("one"));
        settle().await;
        assert_eq!(read(&cached, "a").await, Err(error));
        assert_eq!(cached_count(&metrics), 0, "after {error:?}");
    }
}

#[tokio::test]
async fn concurrent_requests_for_one_path_share_one_read() {
    let (store, cached, metrics) = cached_store(SETTINGS);
    store.gate.forget_permits(Semaphore::MAX_PERMITS);
    let mut readers = tokio::task::JoinSet::new();
    for number in 0..100_000 {
        let cached = cached.clone();
        readers.spawn(async move { read(&cached, &format!("homelab/{}", number % 100)).await });
    }
    // Lets a hundred thousand tasks run.
    for _ in 0..200 {
        settle().await;
    }
    store.gate.add_permits(100);
    assert!(readers.join_all().await.iter().all(|result| *result == fresh("one")));
    assert_eq!(store.reads(), 100);
    assert_eq!((request_count(&metrics, "miss"), request_count(&metrics, "coalesced")), (100, 99_900));
    assert_eq!(cached_count(&metrics), 100);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_does_not_fail_the_read_of_others() {
    let (store, cached, _) = cached_store(SETTINGS);
    store.gate.forget_permits(Semaphore::MAX_PERMITS);
    let reader = |cached: Arc<CachedStore>| tokio::spawn(async move { read(&cached, "a").await });
    let leader = reader(cached.clone());
    settle().await;
    let follower = reader(cached.clone());
    settle().await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    store.gate.add_permits(1);
    assert_eq!(follower.await.unwrap(), fresh("one"));
    assert_eq!(store.reads(), 1);
    assert_eq!(cached.flights.handle_count(&StorePath::try_from("a").unwrap()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_store_is_an_error_and_does_not_block_later_reads() {
    let gate = Semaphore::new(1);
    let panicking = CountingStore { result: Mutex::new(Ok("one")), reads: AtomicUsize::new(0), gate, panics: true };
    let (store, cached, _) = cached_over(panicking, SETTINGS);
    assert_eq!(read(&cached, "a").await, Err(ReadError::Unavailable));
    assert_eq!(read(&cached, "a").await, Err(ReadError::Unavailable));
    assert_eq!(store.reads(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_cached_with_a_ttl_of_zero() {
    let none = CacheSettings {
        ttl: Duration::ZERO,
        negative_ttl: Duration::ZERO,
        serve_stale_for: Duration::ZERO,
        ..SETTINGS
    };
    for settings in [none, CacheSettings { max_entries: 0, ..SETTINGS }] {
        let (store, cached, _) = cached_store(settings);
        for _ in 0..3 {
            assert_eq!(read(&cached, "a").await, fresh("one"));
        }
        assert_eq!(store.reads(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_and_the_bytes_of_entries_are_bounded() {
    const TEN_KIB: &str = "ten bytes.";
    for (value, most) in [("one".to_owned(), SETTINGS.max_entries), (TEN_KIB.repeat(1024), SETTINGS.max_entries / 10)] {
        let (store, cached, metrics) = cached_store(SETTINGS);
        store.set_result(Ok(value.leak()));
        for number in 0..1000 {
            assert!(read(&cached, &format!("homelab/{number}")).await.is_ok());
        }
        cached.state.entries.run_pending_tasks().await;
        assert!((most / 2..=most).contains(&cached.state.entries.entry_count()));
        assert_eq!(cached_count(&metrics), cached.state.entries.entry_count());
    }
}

/// Lets every task run until it waits for something other than being scheduled.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn expired_absences_are_dropped() {
    let settings = CacheSettings { negative_ttl: Duration::from_millis(100), ..SETTINGS };
    let (store, cached, _) = cached_store(settings);
    assert_eq!(read(&cached, "there").await, fresh("one"));
    store.set_result(Err(ReadError::Absent));
    for number in 0..50 {
        assert_eq!(read(&cached, &format!("random/{number}")).await, Err(ReadError::Absent));
    }
    // moka removes expired entries in steps of about a second (its timer wheel).
    for _ in 0..50 {
        tokio::time::sleep(settings.negative_ttl).await;
        cached.state.entries.run_pending_tasks().await;
        if cached.state.entries.entry_count() == 1 {
            break;
        }
    }
    assert_eq!(cached.state.entries.entry_count(), 1, "the secret stays");
    assert_eq!(read(&cached, "there").await, fresh("one"));
}

/// A read of the path `a` in a task.
fn spawn_read(cached: &Arc<CachedStore>) -> tokio::task::JoinHandle<Result<(String, bool), ReadError>> {
    let cached = cached.clone();
    tokio::spawn(async move { read(&cached, "a").await })
}

#[tokio::test(start_paused = true)]
async fn callers_after_an_eviction_do_not_get_the_result_of_an_earlier_read() {
    let (store, cached, metrics) = cached_store(SETTINGS);
    store.gate.forget_permits(Semaphore::MAX_PERMITS);
    let before = [spawn_read(&cached), spawn_read(&cached)];
    settle().await;
    let path = StorePath::try_from("a").unwrap();
    cached.forget_reads(Some(&StorePath::try_from("b").unwrap())).await;
    assert_eq!(cached.flights.handle_count(&path), 3, "two callers share the read");
    cached.evict(&path).await;
    store.set_result(Ok("two"));
    let after = spawn_read(&cached);
    settle().await;
    assert_eq!(store.reads(), 2, "a read of its own");
    cached.forget_reads(None).await;
    store.set_result(Ok("three"));
    let last = spawn_read(&cached);
    settle().await;
    store.gate.add_permits(1);
    for earlier in before {
        assert_eq!(earlier.await.unwrap(), fresh("one"), "its caller asked before the eviction");
    }
    assert_eq!((after.await.unwrap(), last.await.unwrap()), (fresh("two"), fresh("three")));
    assert_eq!(read(&cached, "a").await, fresh("three"));
    assert_eq!((store.reads(), cached_count(&metrics)), (3, 1), "the last result is cached");
}

#[tokio::test(start_paused = true)]
async fn a_read_that_began_before_an_eviction_is_not_cached() {
    let store = CountingStore {
        result: Mutex::new(Ok("one")),
        reads: AtomicUsize::new(0),
        gate: Semaphore::new(0),
        panics: false,
    };
    let (store, cached, _metrics) = cached_over(store, SETTINGS);
    let reader = spawn_read(&cached);
    while store.reads() == 0 {
        tokio::task::yield_now().await;
    }
    cached.evict(&StorePath::try_from("a").unwrap()).await;
    store.gate.add_permits(2);
    assert_eq!(reader.await.unwrap(), fresh("one"), "its caller asked before the eviction");
    store.set_result(Ok("two"));
    assert_eq!(read(&cached, "a").await, fresh("two"));
    assert_eq!(read(&cached, "a").await, fresh("two"));
    assert_eq!(store.reads(), 2, "the second result is cached");
}
