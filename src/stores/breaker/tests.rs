//! All levels together: which failures suspend which calls.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const SECOND: Duration = Duration::from_secs(1);

/// A server that is available or not, and counts its probes.
#[derive(Default)]
struct CountingProbe {
    available: AtomicBool,
    probes: AtomicUsize,
}

#[async_trait]
impl Probe for CountingProbe {
    async fn is_available(&self) -> bool {
        self.probes.fetch_add(1, Ordering::SeqCst);
        self.available.load(Ordering::SeqCst)
    }
}

fn breakers(available: bool) -> (Arc<Breakers>, Arc<CountingProbe>) {
    let health = Arc::new(CountingProbe { available: AtomicBool::new(available), ..CountingProbe::default() });
    let metrics = Arc::new(Metrics::new(&[], &["vault"]).unwrap());
    (Breakers::new("vault".into(), metrics, Some(health.clone())), health)
}

/// The read of a key-value secret.
fn read<'a>(mount: &'a str, path: &'a str) -> BreakerTarget<'a> {
    BreakerTarget { mount, creation_path: None, secret_path: Some(path) }
}

/// A call that creates credentials.
fn creation<'a>(mount: &'a str, path: &'a str) -> BreakerTarget<'a> {
    BreakerTarget { mount, creation_path: Some(path), secret_path: Some(path) }
}

/// Makes calls with the same result. Returns how many were admitted.
async fn count_admitted(
    breakers: &Arc<Breakers>,
    target: BreakerTarget<'_>,
    verdict: CallVerdict,
    calls: usize,
) -> usize {
    let mut made = 0;
    for _ in 0..calls {
        if let Some(permit) = breakers.admit(target) {
            permit.settle(verdict);
            made += 1;
        }
        // Lets the probe run.
        tokio::task::yield_now().await;
    }
    made
}

fn is_open(breakers: &Arc<Breakers>, target: BreakerTarget<'_>) -> bool {
    breakers.admit(target).is_none()
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_suspends_its_mount_and_never_the_server() {
    for (wait, calls) in [(None, 5), (Some(3 * SECOND), 1)] {
        let (breakers, health) = breakers(false);
        assert_eq!(
            count_admitted(&breakers, read("teamx/", "teamx/a"), CallVerdict::RateLimited(wait), 20).await,
            calls
        );
        assert!(is_open(&breakers, read("teamx/", "teamx/b")), "all of the mount");
        assert!(!is_open(&breakers, read("homelab/", "homelab/a")), "no other mount");
        for mount in ["a/", "b/", "c/"] {
            count_admitted(&breakers, read(mount, "x"), CallVerdict::RateLimited(wait), 20).await;
        }
        assert!(!is_open(&breakers, read("homelab/", "homelab/a")), "however many mounts are limited");
        assert_eq!(health.probes.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn time_outs_of_one_path_several_paths_and_several_mounts_suspend_each_level() {
    let (breakers, health) = breakers(true);
    assert_eq!(count_admitted(&breakers, creation("db/", "db/creds/slow"), CallVerdict::TimedOut, 20).await, 5);
    assert!(is_open(&breakers, creation("db/", "db/creds/slow")));
    assert!(!is_open(&breakers, creation("db/", "db/creds/good")), "another role of the same mount");
    assert_eq!(
        count_admitted(&breakers, creation("db/", "db/creds/slow2"), CallVerdict::TimedOut, 20).await,
        1,
        "the mount is open now"
    );
    assert!(is_open(&breakers, creation("db/", "db/creds/good")));
    assert!(!is_open(&breakers, read("homelab/", "homelab/a")));
    assert_eq!(health.probes.load(Ordering::SeqCst), 0, "one mount is not the server");

    assert_eq!(count_admitted(&breakers, read("kv/", "kv/a"), CallVerdict::TimedOut, 1).await, 1);
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!(health.probes.load(Ordering::SeqCst), 1, "several mounts are late");
    assert!(!is_open(&breakers, read("homelab/", "homelab/a")), "but the server serves");
    assert!(is_open(&breakers, creation("db/", "db/creds/slow")), "and the mount does not");
}

#[tokio::test(start_paused = true)]
async fn time_outs_of_one_path_do_not_open_its_mount() {
    let (breakers, _) = breakers(true);
    assert_eq!(count_admitted(&breakers, read("kv/", "kv/a"), CallVerdict::TimedOut, 20).await, 20);
    assert!(!is_open(&breakers, read("kv/", "kv/b")));
    assert_eq!(count_admitted(&breakers, read("kv/", "kv/b"), CallVerdict::TimedOut, 20).await, 1);
    assert!(is_open(&breakers, read("kv/", "kv/a")), "two do");
    assert_eq!(
        count_admitted(&breakers, BreakerTarget::group("auth/kubernetes/"), CallVerdict::TimedOut, 20).await,
        5,
        "logins are all alike"
    );
}

#[tokio::test(start_paused = true)]
async fn connection_failures_of_one_mount_do_not_suspend_an_available_server() {
    let (breakers, health) = breakers(true);
    assert_eq!(count_admitted(&breakers, read("cloud/", "cloud/a"), CallVerdict::Failed, 100).await, 5);
    assert_eq!(health.probes.load(Ordering::SeqCst), 1);
    assert!(is_open(&breakers, read("cloud/", "cloud/a")));
    assert!(!is_open(&breakers, read("homelab/", "homelab/a")));
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_is_suspended_until_its_own_probe_succeeds() {
    let (breakers, health) = breakers(false);
    for mount in ["a/", "b/", "c/", "d/", "e/"] {
        assert_eq!(count_admitted(&breakers, read(mount, "x"), CallVerdict::Failed, 1).await, 1, "{mount}");
    }
    tokio::task::yield_now().await;
    let probes = || health.probes.load(Ordering::SeqCst);
    for seconds in [0, 1, 2, 4, 8, 15, 15] {
        tokio::time::sleep(Duration::from_secs(seconds) + SECOND / 100).await;
        assert!(is_open(&breakers, read("homelab/", "homelab/a")), "after {seconds}");
    }
    assert_eq!(probes(), 7);
    health.available.store(true, Ordering::SeqCst);
    tokio::time::sleep(15 * SECOND).await;
    for mount in ["a/", "homelab/"] {
        assert!(!is_open(&breakers, read(mount, "x")), "{mount}: without a call of anybody");
    }
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(probes(), 8, "nothing is probed that serves");
}

#[tokio::test(start_paused = true)]
async fn the_number_of_scopes_is_bounded() {
    let (breakers, _) = breakers(true);
    let count = || breakers.scopes.lock().unwrap().len();
    for number in 0..2 * MAX_SCOPES {
        count_admitted(&breakers, read(&format!("good{number}/"), "x"), CallVerdict::Served, 1).await;
    }
    assert_eq!(count(), 0);
    for number in 0..2 * MAX_SCOPES {
        count_admitted(&breakers, read(&format!("bad{number}/"), "x"), CallVerdict::RateLimited(Some(SECOND)), 1).await;
    }
    assert_eq!(count(), MAX_SCOPES);
    count_admitted(&breakers, read("one-more/", "x"), CallVerdict::RateLimited(Some(SECOND)), 1).await;
    assert!(!is_open(&breakers, read("one-more/", "x")), "calls are made where nothing can be remembered");
    assert!(is_open(&breakers, read("bad0/", "x")), "and nothing is forgotten for it");
}

#[tokio::test(start_paused = true)]
async fn a_half_open_mount_admits_one_trial_call_at_a_time() {
    let (breakers, _) = breakers(true);
    count_admitted(&breakers, read("teamx/", "teamx/a"), CallVerdict::RateLimited(None), 5).await;
    tokio::time::sleep(SECOND).await;
    let one = breakers.admit(read("teamx/", "teamx/a")).expect("one call is the trial");
    assert!(is_open(&breakers, read("teamx/", "teamx/a")));
    drop(one);
    breakers.admit(read("teamx/", "teamx/a")).expect("another one").settle(CallVerdict::Served);
    let _many = (breakers.admit(read("teamx/", "a")).unwrap(), breakers.admit(read("teamx/", "a")).unwrap());
}
