//! Caches: cached requests cause no calls, and no answer is older than documented.

use crate::rig::bao::until;
use crate::rig::installation::{Installation, InstallationSetup};
use futures_util::future::join_all;
use serde_json::json;

const READS: &str = "claviger_store_requests_total{operation=\"read\",outcome=\"ok\",store=\"vault\"}";
const REVIEWS: &str = "claviger_token_review_duration_seconds_count";

/// A policy with one secret.
async fn one_secret() -> InstallationSetup {
    let setup = InstallationSetup::new().await;
    let subjects = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}]);
    let secrets = json!([{"store": "vault", "path": "homelab/a"}]);
    setup.policy("one", json!({"subjects": subjects, "repos": ["one"], "branches": ["main"], "secrets": secrets}));
    setup.bao.put("homelab/a", &[("K", "first")]).await;
    setup
}

#[tokio::test]
async fn a_cached_token_and_a_cached_secret_cause_no_call() {
    let rig = one_secret().await.start();
    let pod = rig.pod("ci/build-bot").await;
    pod.asks("one", "main").download();
    let calls = |rig: &Installation| (rig.claviger.count(REVIEWS), rig.claviger.sum("claviger_store_requests_total"));
    let before = calls(&rig);
    for _ in 0..20 {
        pod.asks("one", "main").download();
    }
    assert_eq!(calls(&rig), before);
    assert_eq!((before.0, rig.claviger.count(READS)), (1, 1));
    // Another pod has another token; everything else is the same.
    rig.pod("ci/build-bot").await.asks("one", "main").download();
    assert_eq!(calls(&rig), (2, before.1));
}

#[tokio::test]
async fn a_hundred_concurrent_pods_cause_one_read() {
    let rig = one_secret().await.start();
    let pods = join_all((0..100).map(|_| rig.pod("ci/build-bot"))).await;
    let files: Vec<String> = std::thread::scope(|scope| {
        let asking: Vec<_> = pods.iter().map(|pod| scope.spawn(|| pod.asks("one", "main").file())).collect();
        asking.into_iter().map(|pod| pod.join().unwrap()).collect()
    });
    assert_eq!(files.len(), 100);
    assert!(files.iter().all(|file| file == "export K='first'\n# claviger: 1 keys\n"));
    assert_eq!((rig.claviger.count(READS), rig.claviger.count(REVIEWS)), (1, 100));
}

#[tokio::test]
async fn a_rotated_secret_is_seen_when_the_cached_one_expires() {
    let mut setup = one_secret().await;
    setup.cache(json!({"ttl": "1s"}));
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await;
    let download = || {
        let answer = pod.asks("one", "main").download();
        (answer.text(), answer.header("x-claviger-versions").unwrap())
    };
    let (first, again) = (download(), download());
    assert_eq!(first, again, "the same version has the same digest");
    rig.bao.put("homelab/a", &[("K", "second")]).await;
    until("the second version", async || download().0.contains("'second'")).await;
    assert_ne!(download().1, first.1);
    let events = rig.claviger.audit_events();
    let versions: Vec<&str> = events.iter().filter_map(|event| event["secrets"][0]["version"].as_str()).collect();
    assert_eq!((versions[0], versions[versions.len() - 1]), ("1", "2"));
}
