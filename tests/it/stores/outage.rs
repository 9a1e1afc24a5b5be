//! A real OpenBao with many callers that is sealed, killed and restarted.

use super::StoreRig;
use crate::rig::bao::{Bao, until};
use claviger::config::cache::Cache;
use claviger::config::stores::VaultAuthMethod;
use claviger::stores::ReadError::{self, Unavailable};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const MINUTE: Duration = Duration::from_mins(1);
const CACHE: Cache =
    Cache { ttl: MINUTE, negative_ttl: MINUTE, serve_stale_for: Duration::from_mins(10), max_entries: 1000 };

/// An OpenBao with this many secrets: `homelab/0` and so on.
async fn bao_with(bao: Bao, secrets: usize) -> Bao {
    for number in 0..secrets {
        bao.put(&format!("homelab/{number}"), &[("K", "v")]).await;
    }
    bao
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_for_a_path_share_one_read() {
    let bao = bao_with(Bao::start().await, 100).await;
    let rig = Arc::new(StoreRig::new(&bao.address, &bao.root, CACHE, |_| {}));
    let mut readers = JoinSet::new();
    for number in 0..2000 {
        let rig = rig.clone();
        readers.spawn(async move { rig.lease(&format!("homelab/{}", number % 100)).await });
    }
    assert!(readers.join_all().await.iter().all(|read| read.as_ref().is_ok_and(|lease| !lease.stale)));
    assert_eq!((rig.calls("read", "ok"), rig.calls("preflight", "ok")), (100, 1));
    assert_eq!(rig.lookups("miss"), 100);
    assert_eq!(rig.lookups("coalesced") + rig.lookups("hit"), 1900);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_to_a_sealed_server_are_unavailable_and_cause_few_calls() {
    let bao = bao_with(Bao::start().await, 1).await;
    let rig = Arc::new(StoreRig::new(&bao.address, &bao.root, CACHE, |_| {}));
    assert!(rig.lease("homelab/0").await.is_ok());
    bao.seal().await;
    let began = Instant::now();
    let mut readers = JoinSet::new();
    for worker in 0..50 {
        let rig = rig.clone();
        readers.spawn(async move {
            let mut answers = Vec::new();
            for number in 0..200 {
                // Half of these exist but are forbidden; none is cached.
                let path = if number % 2 == 0 { "homelab/none" } else { "other/none" };
                answers.push(rig.lease(&format!("{path}/{worker}/{number}")).await.map(|_| ()));
            }
            answers
        });
    }
    let answers = readers.join_all().await.concat();
    assert_eq!(answers.len(), 10_000);
    assert_eq!(answers.iter().filter(|answer| **answer != Err(Unavailable)).count(), 0);
    let failed = rig.calls("read", "unavailable") + rig.calls("preflight", "unavailable");
    println!("10,000 asks of a sealed server: {:?}, {failed} calls", began.elapsed());
    assert!(failed <= 100, "{failed} calls");
    assert!(rig.lease("homelab/0").await.is_ok_and(|lease| !lease.stale), "a fresh secret needs no server");
}

/// Reads one secret after another until stopped.
struct Load {
    stop: Arc<AtomicBool>,
    /// Answers that were neither fresh nor stale.
    errors: Arc<AtomicU64>,
    workers: JoinSet<()>,
}

impl Load {
    fn on(rig: &Arc<StoreRig>, secrets: usize) -> Self {
        let (stop, errors) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut workers = JoinSet::new();
        for worker in 0..8 {
            let (rig, stop, errors) = (rig.clone(), stop.clone(), errors.clone());
            workers.spawn(async move {
                let mut number = worker;
                while !stop.load(Ordering::Relaxed) {
                    if rig.lease(&format!("homelab/{}", number % secrets)).await.is_err() {
                        errors.fetch_add(1, Ordering::Relaxed);
                    }
                    number += 1;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
        }
        Self { stop, errors, workers }
    }

    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.workers.join_all().await;
        self.errors.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_serves_builds_while_the_server_restarts() {
    const SECRETS: usize = 50;
    let mut bao = bao_with(Bao::start_durable().await, SECRETS).await;
    let rig = Arc::new(by_app_role(&bao).await);
    for number in 0..SECRETS {
        assert!(rig.lease(&format!("homelab/{number}")).await.is_ok());
    }
    let load = Load::on(&rig, SECRETS);
    until("background reads", async || rig.calls("read", "ok") > 3 * SECRETS as u64).await;
    println!("before: {}", rates(&rig));
    bao.stop();
    until("stale leases", async || rig.lookups("stale") > 0).await;
    let began = Instant::now();
    assert_eq!(
        rig.lease("homelab/cold").await.map(|_| ()),
        Err(Unavailable),
        "a secret that was never cached is unavailable"
    );
    assert!(began.elapsed() < Duration::from_secs(2));
    // Five until the first probe, that probe, and those after 1 s and 2 s.
    let failed =
        || ["read", "renew", "login", "preflight"].iter().map(|call| rig.calls(call, "unavailable")).sum::<u64>();
    until("the breaker's second probe", async || failed() >= 8).await;
    let asked = failed();
    assert!(asked < 30, "{asked} calls of a dead server");
    println!("killed: {}, {asked} calls of the dead server", rates(&rig));
    bao.restart().await;
    bao.unseal().await;
    let back = Instant::now();
    until("a fresh read of each secret", async || {
        let mut fresh = 0;
        for number in 0..SECRETS {
            fresh += usize::from(rig.lease(&format!("homelab/{number}")).await.is_ok_and(|lease| !lease.stale));
        }
        fresh == SECRETS
    })
    .await;
    println!("fresh again {:?} after the server", back.elapsed());
    assert_eq!(rig.lease("homelab/cold").await.map(|_| ()), Err(ReadError::Absent));
    assert_eq!(load.end().await, 0, "a read failed");
    println!("in all: {}, {} reads of the store", rates(&rig), rig.calls("read", "ok"));
}

async fn by_app_role(bao: &Bao) -> StoreRig {
    bao.policy("reader", r#"path "homelab/data/*" { capabilities = ["read"] }"#).await;
    let (role_id, secret_id) = bao.app_role("broker", &["reader"], "1h").await;
    let dir = tempfile::tempdir().unwrap();
    let secret_id_file = dir.path().join("secret-id");
    std::fs::write(&secret_id_file, secret_id).unwrap();
    let auth = VaultAuthMethod::AppRole { mount: "approle".into(), role_id, secret_id_file };
    let cache = Cache { ttl: Duration::from_millis(500), negative_ttl: Duration::ZERO, ..CACHE };
    StoreRig::open(dir, &bao.address, auth, cache, |vault| vault.timeout = Duration::from_secs(2))
}

/// The share of each outcome of the cache.
fn rates(rig: &StoreRig) -> String {
    let counts = ["hit", "miss", "coalesced", "stale"].map(|outcome| (outcome, rig.lookups(outcome)));
    let all: u64 = counts.iter().map(|(_, count)| count).sum();
    let share = |count: u64| format!("{}.{} %", count * 100 / all, count * 1000 / all % 10);
    let text: Vec<_> = counts.iter().map(|(outcome, count)| format!("{outcome} {}", share(*count))).collect();
    format!("{} of {all} lookups", text.join(", "))
}
