//! Tests of the cache with a store that counts its reads and returns prepared results.

use super::*;
use crate::model::secret::SecretValue;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

const SECOND: Duration = Duration::from_secs(1);
const BOUNDS: Bounds = Bounds {
    ttl: Duration::from_mins(1),
    negative_ttl: Duration::from_secs(10),
    serve_stale_for: Duration::from_mins(10),
    max_entries: 100,
};

/// Returns prepared results, each when the gate allows it.
struct Counting {
    says: Mutex<Result<&'static str, ReadError>>,
    reads: AtomicUsize,
    gate: Semaphore,
    panics: bool,
}

impl Counting {
    fn says(&self, answer: Result<&'static str, ReadError>) {
        *self.says.lock().unwrap() = answer;
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl SecretStore for Counting {
    async fn read(&self, _path: &StorePath, _request: &RequestId) -> Answer {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let _pass = self.gate.acquire().await.unwrap();
        assert!(!self.panics, "told to");
        let value = (*self.says.lock().unwrap())?;
        let data = [("K".to_owned(), Some(SecretValue::new(value.into())))].into();
        Ok(Arc::new(Secret { data, version: None, created_at: None, stale: false }))
    }
}

fn rig(bounds: Bounds) -> (Arc<Counting>, Arc<Cached>, Arc<Metrics>) {
    let gate = Semaphore::new(Semaphore::MAX_PERMITS);
    rig_of(Counting { says: Mutex::new(Ok("one")), reads: AtomicUsize::new(0), gate, panics: false }, bounds)
}

fn rig_of(store: Counting, bounds: Bounds) -> (Arc<Counting>, Arc<Cached>, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new(&[], &["vault"]).unwrap());
    let store = Arc::new(store);
    let cached = Cached::new(&"vault".into(), store.clone(), bounds, &metrics).unwrap();
    (store, Arc::new(cached), metrics)
}

/// The value and whether it is stale.
#[expect(clippy::disallowed_methods, reason = "what came is what is tested")]
async fn read(cached: &Cached, path: &str) -> Result<(String, bool), ReadError> {
    let secret = cached.read(&StorePath::try_from(path).unwrap(), &RequestId::random()).await?;
    Ok((secret.data["K"].as_ref().unwrap().expose_secret().to_owned(), secret.stale))
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with what a read gives")]
fn fresh(value: &str) -> Result<(String, bool), ReadError> {
    Ok((value.into(), false))
}

fn all_but_a_second(time: Duration) -> Duration {
    time.saturating_sub(SECOND)
}

/// Ages of a secret that is refreshed in the background, and of one that is not yet.
const AGEING: Duration = BOUNDS.ttl.saturating_mul(86).checked_div(100).unwrap();
const YOUNG: Duration = BOUNDS.ttl.saturating_mul(74).checked_div(100).unwrap();

fn counted(metrics: &Metrics, outcome: &str) -> u64 {
    let text = String::from_utf8(metrics.encode().unwrap()).unwrap();
    let series = format!("claviger_lease_cache_requests_total{{outcome=\"{outcome}\",store=\"vault\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
}

/// The number of cached secrets, from the gauge.
fn held(metrics: &Metrics) -> u64 {
    let text = String::from_utf8(metrics.encode().unwrap()).unwrap();
    let series = "claviger_leases_active{store=\"vault\"} ";
    text.lines().find_map(|line| line.strip_prefix(series)).unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_read_once_in_its_time() {
    let (store, cached, metrics) = rig(BOUNDS);
    assert_eq!(read(&cached, "a").await, fresh("one"));
    store.says(Ok("two"));
    tokio::time::advance(YOUNG).await;
    assert_eq!(read(&cached, "a").await, fresh("one"));
    settle().await;
    assert_eq!(store.reads(), 1);
    tokio::time::advance(BOUNDS.ttl.saturating_sub(YOUNG)).await;
    assert_eq!(read(&cached, "a").await, fresh("two"));
    assert_eq!(read(&cached, "b").await, fresh("two"), "another path is another secret");
    assert_eq!((store.reads(), counted(&metrics, "hit"), counted(&metrics, "miss")), (3, 1, 3));
}

#[tokio::test(start_paused = true)]
async fn an_absence_is_kept_for_its_own_time() {
    let (store, cached, _) = rig(BOUNDS);
    store.says(Err(ReadError::Absent));
    assert_eq!(read(&cached, "a").await, Err(ReadError::Absent));
    store.says(Ok("one"));
    tokio::time::advance(all_but_a_second(BOUNDS.negative_ttl)).await;
    assert_eq!(read(&cached, "a").await, Err(ReadError::Absent));
    settle().await;
    assert_eq!(store.reads(), 1, "an absence is not read again in the background");
    tokio::time::advance(SECOND).await;
    assert_eq!(read(&cached, "a").await, fresh("one"));
    assert_eq!(store.reads(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_other_error_is_kept() {
    for error in [ReadError::Deleted, ReadError::Forbidden, ReadError::Misconfigured, ReadError::Unavailable] {
        let (store, cached, _) = rig(BOUNDS);
        store.says(Err(error));
        assert_eq!(read(&cached, "a").await, Err(error));
        store.says(Ok("one"));
        assert_eq!(read(&cached, "a").await, fresh("one"), "after {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_store_is_bridged_within_the_bound_and_not_beyond() {
    let (store, cached, metrics) = rig(BOUNDS);
    assert_eq!(read(&cached, "a").await, fresh("one"));
    store.says(Err(ReadError::Unavailable));
    tokio::time::advance(all_but_a_second(BOUNDS.ttl + BOUNDS.serve_stale_for)).await;
    assert_eq!(read(&cached, "a").await, Ok(("one".into(), true)));
    assert_eq!(read(&cached, "b").await, Err(ReadError::Unavailable), "there is nothing old of another path");
    store.says(Ok("two"));
    assert_eq!(read(&cached, "a").await, fresh("two"), "the first answer ends it");

    store.says(Err(ReadError::Unavailable));
    tokio::time::advance(BOUNDS.ttl + BOUNDS.serve_stale_for).await;
    assert_eq!(read(&cached, "a").await, Err(ReadError::Unavailable));
    assert_eq!(counted(&metrics, "stale"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_answers_ends_the_old_lease_for_good() {
    for error in [ReadError::Forbidden, ReadError::Misconfigured, ReadError::Absent, ReadError::Deleted] {
        let (store, cached, _) = rig(BOUNDS);
        assert_eq!(read(&cached, "a").await, fresh("one"));
        tokio::time::advance(BOUNDS.ttl).await;
        store.says(Err(error));
        assert_eq!(read(&cached, "a").await, Err(error));
        tokio::time::advance(BOUNDS.negative_ttl).await;
        store.says(Err(ReadError::Unavailable));
        assert_eq!(read(&cached, "a").await, Err(ReadError::Unavailable), "after {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_near_its_end_is_read_again_while_the_old_one_is_served() {
    let (store, cached, metrics) = rig(BOUNDS);
    assert_eq!(read(&cached, "a").await, fresh("one"));
    store.says(Ok("two"));
    store.gate.forget_permits(Semaphore::MAX_PERMITS);
    tokio::time::advance(AGEING).await;
    for _ in 0..100 {
        assert_eq!(read(&cached, "a").await, fresh("one"), "nobody waits for the store");
    }
    settle().await;
    assert_eq!(store.reads(), 2, "one read, however many asked");
    store.gate.add_permits(1);
    settle().await;
    assert_eq!(read(&cached, "a").await, fresh("two"));
    tokio::time::advance(YOUNG).await;
    assert_eq!(read(&cached, "a").await, fresh("two"), "its time begins anew");
    settle().await;
    assert_eq!((store.reads(), counted(&metrics, "hit"), counted(&metrics, "miss")), (2, 102, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_lease_ends_meanwhile_waits_for_the_read_in_the_background() {
    let (store, cached, metrics) = rig(BOUNDS);
    assert_eq!(read(&cached, "a").await, fresh("one"));
    store.says(Ok("two"));
    store.gate.forget_permits(Semaphore::MAX_PERMITS);
    tokio::time::advance(AGEING).await;
    assert_eq!(read(&cached, "a").await, fresh("one"));
    tokio::time::advance(BOUNDS.ttl.saturating_sub(AGEING)).await;
    let late = tokio::spawn({
        let cached = cached.clone();
        async move { read(&cached, "a").await }
    });
    settle().await;
    store.gate.add_permits(1);
    assert_eq!(late.await.unwrap(), fresh("two"));
    assert_eq!((store.reads(), counted(&metrics, "coalesced")), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_changes_nothing_until_the_time_is_over() {
    let (store, cached, _) = rig(BOUNDS);
    assert_eq!(read(&cached, "a").await, fresh("one"));
    store.says(Err(ReadError::Unavailable));
    tokio::time::advance(AGEING).await;
    for _ in 0..100 {
        assert_eq!(read(&cached, "a").await, fresh("one"), "served, and not as stale");
        settle().await;
    }
    assert_eq!(store.reads(), 2, "one attempt");
    tokio::time::advance(BOUNDS.ttl.saturating_sub(AGEING)).await;
    assert_eq!(read(&cached, "a").await, Ok(("one".into(), true)));
    assert_eq!(store.reads(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_is_answered_is_believed_at_once() {
    for error in [ReadError::Absent, ReadError::Deleted, ReadError::Forbidden, ReadError::Misconfigured] {
        let (store, cached, metrics) = rig(BOUNDS);
        assert_eq!(read(&cached, "a").await, fresh("one"));
        store.says(Err(error));
        tokio::time::advance(AGEING).await;
        assert_eq!(read(&cached, "a").await, fresh("one"));
        settle().await;
        assert_eq!(read(&cached, "a").await, Err(error));
        assert_eq!(held(&metrics), 0, "after {error:?}");
    }
}

#[tokio::test]
async fn a_thousand_first_asks_for_each_of_a_hundred_paths_are_a_hundred_reads() {
    let (store, cached, metrics) = rig(BOUNDS);
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
    assert!(readers.join_all().await.iter().all(|answer| *answer == fresh("one")));
    assert_eq!(store.reads(), 100);
    assert_eq!((counted(&metrics, "miss"), counted(&metrics, "coalesced")), (100, 99_900));
    assert_eq!(held(&metrics), 100);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_hangs_up_fails_nobody() {
    let (store, cached, _) = rig(BOUNDS);
    store.gate.forget_permits(Semaphore::MAX_PERMITS);
    let reader = |cached: Arc<Cached>| tokio::spawn(async move { read(&cached, "a").await });
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
async fn a_panic_in_a_store_is_an_error_and_blocks_no_later_read() {
    let gate = Semaphore::new(1);
    let panicking = Counting { says: Mutex::new(Ok("one")), reads: AtomicUsize::new(0), gate, panics: true };
    let (store, cached, _) = rig_of(panicking, BOUNDS);
    assert_eq!(read(&cached, "a").await, Err(ReadError::Unavailable));
    assert_eq!(read(&cached, "a").await, Err(ReadError::Unavailable));
    assert_eq!(store.reads(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_where_nothing_may_be() {
    let none = Bounds { ttl: Duration::ZERO, negative_ttl: Duration::ZERO, serve_stale_for: Duration::ZERO, ..BOUNDS };
    for bounds in [none, Bounds { max_entries: 0, ..BOUNDS }] {
        let (store, cached, _) = rig(bounds);
        for _ in 0..3 {
            assert_eq!(read(&cached, "a").await, fresh("one"));
        }
        assert_eq!(store.reads(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_of_entries_is_bounded_and_so_are_their_bytes() {
    const TEN_KIB: &str = "ten bytes.";
    for (value, most) in [("one".to_owned(), BOUNDS.max_entries), (TEN_KIB.repeat(1024), BOUNDS.max_entries / 10)] {
        let (store, cached, metrics) = rig(BOUNDS);
        store.says(Ok(value.leak()));
        for number in 0..1000 {
            assert!(read(&cached, &format!("homelab/{number}")).await.is_ok());
        }
        cached.state.entries.run_pending_tasks().await;
        assert!((most / 2..=most).contains(&cached.state.entries.entry_count()));
        assert_eq!(held(&metrics), cached.state.entries.entry_count());
    }
}

/// Lets every task run until it waits for something other than being scheduled.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn absences_leave_when_their_time_is_over() {
    let bounds = Bounds { negative_ttl: Duration::from_millis(100), ..BOUNDS };
    let (store, cached, _) = rig(bounds);
    assert_eq!(read(&cached, "there").await, fresh("one"));
    store.says(Err(ReadError::Absent));
    for number in 0..50 {
        assert_eq!(read(&cached, &format!("random/{number}")).await, Err(ReadError::Absent));
    }
    // moka removes expired entries in steps of about a second (its timer wheel).
    for _ in 0..50 {
        tokio::time::sleep(bounds.negative_ttl).await;
        cached.state.entries.run_pending_tasks().await;
        if cached.state.entries.entry_count() == 1 {
            break;
        }
    }
    assert_eq!(cached.state.entries.entry_count(), 1, "the secret stays");
    assert_eq!(read(&cached, "there").await, fresh("one"));
}
