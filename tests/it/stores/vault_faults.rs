//! The store's reaction to a failing server. The expected results are in `behaviours.yaml`.

use super::{NO_CACHE, StoreRig};
use crate::rig::bao::until;
use crate::rig::fake::{Fake, MOUNT, Reaction, json, status, valid_answer};
use crate::rig::recorded_log::RecordedLog;
use claviger::stores::ReadError::Unavailable;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[tokio::test]
async fn a_mount_that_does_not_contain_the_path_is_not_read() {
    for path in ["sys/", "auth/token/", "other/", "", "homelab/a/b/"] {
        let mount = MOUNT.replace("homelab/", path);
        let fake =
            Fake::start(move |line| if line.contains("/mounts/") { json(&mount) } else { valid_answer(line) }).await;
        assert_eq!(
            StoreRig::with_short_timeout(&fake.address, NO_CACHE).read("homelab/a").await,
            Err(Unavailable),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_failed_login_is_not_retried_for_each_waiting_caller() {
    let fake = Fake::start(|_| status("503 Service Unavailable")).await;
    let rig = Arc::new(StoreRig::logging_in(&fake.address, NO_CACHE));
    let mut readers = tokio::task::JoinSet::new();
    for number in 0..200 {
        let rig = rig.clone();
        readers.spawn(async move { rig.read(&format!("homelab/{number}")).await });
    }
    assert!(readers.join_all().await.iter().all(|read| *read == Err(Unavailable)));
    assert!(fake.requests() <= 3, "{} logins", fake.requests());
}

#[tokio::test]
async fn a_token_with_shrinking_renewals_is_replaced() {
    let auth = |duration| {
        let body = format!(r#"{{"auth":{{"client_token":"s.x","lease_duration":{duration},"renewable":true}}}}"#);
        json(&body)
    };
    let (granted, renewed) = (auth(3), auth(1));
    let fake = Fake::start(move |line| match line {
        line if line.contains("/login") => granted.clone(),
        line if line.contains("/renew-self") => renewed.clone(),
        line => valid_answer(line),
    })
    .await;
    let rig = StoreRig::logging_in(&fake.address, NO_CACHE);
    until("another login", async || rig.calls("login", "ok") > 1).await;
    assert_eq!(rig.calls("renew", "ok"), 1);
}

/// Reads this many paths from a server with this answer; returns how many calls it got.
async fn calls_of(status: &'static str, header: &'static str, paths: usize) -> usize {
    let answer = Reaction::Answer(status.into(), header.into(), r#"{"errors":["no"]}"#.into());
    let fake =
        Fake::start(move |line| if line.contains("/data/b") { answer.clone() } else { valid_answer(line) }).await;
    let rig = StoreRig::with_short_timeout(&fake.address, NO_CACHE);
    assert!(rig.lease("homelab/a").await.is_ok());
    // A later background call would succeed and reset the count of failures.
    until("the first round of the upkeep", async || rig.calls("login", "ok") > 0).await;
    let before = fake.requests();
    for number in 0..paths {
        assert_eq!(rig.lease(&format!("homelab/b{number}")).await.map(|_| ()), Err(Unavailable), "{status}");
    }
    let calls = fake.requests() - before;
    assert_eq!(rig.calls("read", "unavailable"), calls as u64, "suspended calls are not counted");
    calls
}

#[tokio::test]
async fn the_breaker_opens_for_an_unavailable_server_and_not_for_error_responses() {
    for (status, header, calls) in [
        ("503 Service Unavailable", "", 5),
        ("502 Bad Gateway", "", 5),
        ("429 Too Many Requests", "", 5),
        ("429 Too Many Requests", "Retry-After: tomorrow\r\n", 5),
        ("429 Too Many Requests", "Retry-After: 60\r\n", 1),
        ("500 Internal Server Error", "Retry-After: 60\r\n", 20),
        ("400 Bad Request", "", 20),
    ] {
        assert_eq!(calls_of(status, header, 20).await, calls, "{status} {header}");
    }
}

#[tokio::test]
async fn a_read_is_retried_after_a_broken_connection_and_a_login_is_not() {
    for (call, breaks, expected) in
        [("/data/", 1, (Ok(()), 2)), ("/data/", 2, (Err(Unavailable), 2)), ("/login", 1, (Err(Unavailable), 1))]
    {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = calls.clone();
        let fake = Fake::start(move |line| {
            if line.contains(call) && counter.fetch_add(1, Ordering::SeqCst) < breaks {
                Reaction::HangUp
            } else {
                valid_answer(line)
            }
        })
        .await;
        let rig = StoreRig::logging_in(&fake.address, NO_CACHE);
        let answer = rig.lease("homelab/a").await.map(|_| ());
        assert_eq!((answer, calls.load(Ordering::SeqCst)), expected, "{call} breaks {breaks} times");
    }
}

#[tokio::test]
async fn the_tasks_end_with_the_stores() {
    let fake = Fake::start(valid_answer).await;
    let StoreRig { stores, metrics, dir: _dir, .. } = StoreRig::with_short_timeout(&fake.address, NO_CACHE);
    until("the first round of the upkeep", async || fake.requests() > 0).await;
    assert!(Arc::strong_count(&metrics) > 1, "running tasks hold the counters");
    drop(stores);
    until("every task to end", async || Arc::strong_count(&metrics) == 1).await;
}

#[tokio::test]
async fn the_log_of_a_failed_call_has_no_path_token_or_response() {
    let log = RecordedLog::of_all();
    let (soon, late) = (Duration::from_millis(200), Duration::from_secs(10));
    for (act, timeout) in [
        (json(r#"{"data":{"canary-answer":1}}"#), late),
        (Reaction::HangUp, late),
        (Reaction::Endless, late),
        (Reaction::Huge, late),
        (Reaction::Silence, soon),
    ] {
        let fake =
            Fake::start(move |line| if line.contains("/data/") { act.clone() } else { valid_answer(line) }).await;
        let rig = StoreRig::new(&fake.address, "s.canary-token", NO_CACHE, |vault| vault.timeout = timeout);
        assert_eq!(rig.read("homelab/canary-path").await, Err(Unavailable));
    }
    let text = log.text();
    let logged = |kind: &str| text.matches(&format!("kind=\"{kind}\"")).count();
    assert_eq!(["decode", "broken", "body_too_large", "timeout"].map(logged), [1, 1, 2, 1], "{text}");
    assert!(!text.contains("canary"), "{text}");
}
