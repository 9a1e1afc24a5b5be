//! A failing mount does not reduce the read rate of other mounts of the same server.

use super::{NO_CACHE, StoreRig};
use crate::rig::bao::{Bao, until};
use crate::rig::fake::{Fake, HEALTH, Reaction, json, status, valid_answer};
use claviger::stores::ReadError::{Absent, Unavailable};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// Starts this many reads of new names at once; returns how many the server answered.
async fn count_answered(rig: &Arc<StoreRig>, mount: &str, reads: usize) -> usize {
    let mut answered = 0;
    for number in 0..reads {
        answered += usize::from(rig.lease(&format!("{mount}/feature/{number}")).await.map(|_| ()) != Err(Unavailable));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    answered
}

/// Background reads at the maximum rate of one caller, until dropped.
fn hostile(rig: &Arc<StoreRig>, mount: &'static str) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for worker in 0..4 {
        let rig = rig.clone();
        tasks.spawn(async move {
            for number in 0.. {
                let _ = rig.lease(&format!("{mount}/random/{worker}/{number}")).await;
                tokio::time::sleep(Duration::from_millis(80)).await;
            }
        });
    }
    tasks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_suspends_only_calls_of_its_mount() {
    let bao = Bao::start().await;
    bao.enable_kv_v2("teamx").await;
    bao.limit_rate("teamx", 2).await;
    let rig = Arc::new(StoreRig::with_token(&bao.address, &bao.root));
    assert_eq!(count_answered(&rig, "homelab", 20).await, 20, "without a failing mount");
    let _neighbour = hostile(&rig, "teamx");
    until("the rate limit to be reached", async || rig.suspended("mount") > 0).await;
    assert_eq!(count_answered(&rig, "homelab", 200).await, 200, "beside it");
    assert_eq!((rig.suspended("server"), rig.suspended("path")), (0, 0));
    assert!(count_answered(&rig, "teamx", 50).await < 50, "the failing mount is limited");
}

/// A fake with two more mounts, `slow` and `late`, that are answered in this way.
async fn with_failing_mounts(act: Reaction, health: Reaction) -> Fake {
    Fake::start(move |line| {
        let mount = ["slow", "late"].into_iter().find(|mount| line.contains(&format!("/{mount}/")));
        match (line, mount) {
            (line, Some(mount)) if line.contains("/mounts/") => {
                json(&format!(r#"{{"data":{{"path":"{mount}/","type":"kv","options":{{"version":"1"}}}}}}"#))
            }
            (_, Some(_)) => act.clone(),
            (line, None) if line.contains(HEALTH) => health.clone(),
            (line, None) => valid_answer(line),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_mount_does_not_affect_others_while_the_server_is_healthy() {
    for act in [
        Reaction::Silence,
        Reaction::HangUp,
        Reaction::Trickle,
        status("429 Too Many Requests"),
        Reaction::Answer("429 Too Many Requests".into(), "Retry-After: 60\r\n".into(), String::new()),
        status("502 Bad Gateway"),
        status("503 Service Unavailable"),
        status("504 Gateway Timeout"),
        status("500 Internal Server Error"),
    ] {
        let name = if let Reaction::Answer(line, ..) = &act { (*line).clone() } else { "no answer".to_owned() };
        let is_slow = matches!(act, Reaction::Silence | Reaction::Trickle);
        let fake = with_failing_mounts(act, json("{}")).await;
        let rig = Arc::new(StoreRig::with_short_timeout(&fake.address, NO_CACHE));
        let _neighbours = (hostile(&rig, "slow"), hostile(&rig, "late"));
        assert_eq!(
            count_answered(&rig, "homelab", if is_slow { 100 } else { 50 }).await,
            if is_slow { 100 } else { 50 },
            "{name}"
        );
        assert_eq!(rig.suspended("server"), 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_outs_of_several_mounts_open_the_server_breaker_if_the_health_check_fails() {
    let fake = with_failing_mounts(Reaction::Silence, Reaction::Silence).await;
    let rig = Arc::new(StoreRig::with_short_timeout(&fake.address, NO_CACHE));
    assert_eq!(count_answered(&rig, "homelab", 3).await, 3);
    let _neighbours = (hostile(&rig, "slow"), hostile(&rig, "late"));
    until("the breaker of the server to open", async || {
        count_answered(&rig, "homelab", 1).await == 0 && rig.suspended("server") > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_closes_the_breaker_without_a_request_of_a_caller() {
    let is_up = Arc::new(AtomicBool::new(false));
    let (switch, health) = (is_up.clone(), Arc::new(AtomicUsize::new(0)));
    let asked = health.clone();
    let fake = Fake::start(move |line| {
        asked.fetch_add(usize::from(line.contains(HEALTH)), Ordering::SeqCst);
        if switch.load(Ordering::SeqCst) { valid_answer(line) } else { status("503 Service Unavailable") }
    })
    .await;
    let rig = Arc::new(StoreRig::with_short_timeout(&fake.address, NO_CACHE));
    until("the breaker of the server to open", async || {
        let _ = rig.lease("homelab/a").await;
        rig.suspended("server") > 0
    })
    .await;
    let calls = fake.requests();
    until("some health probes", async || health.load(Ordering::SeqCst) >= 3).await;
    for _ in 0..10 {
        assert_eq!(rig.lease("homelab/a").await.map(|_| ()), Err(Unavailable));
    }
    assert_eq!(fake.requests(), calls, "the probes need no request of a caller");
    is_up.store(true, Ordering::SeqCst);
    let asked = health.load(Ordering::SeqCst);
    until("a successful health probe", async || health.load(Ordering::SeqCst) > asked).await;
    until("a secret", async || rig.lease("homelab/a").await.is_ok()).await;
}

#[tokio::test]
async fn absent_and_forbidden_secrets_open_no_breaker() {
    let bao = Bao::start().await;
    bao.put("homelab/a", &[("K", "v")]).await;
    let rig = Arc::new(StoreRig::with_token(&bao.address, &bao.root));
    for number in 0..100 {
        assert_eq!(rig.lease(&format!("homelab/{number}")).await.map(|_| ()), Err(Absent));
        assert!(rig.lease(&format!("nomount/{number}")).await.is_err());
    }
    assert!(rig.lease("homelab/a").await.is_ok());
    assert_eq!(["server", "mount", "path"].map(|scope| rig.suspended(scope)), [0; 3]);
}
