//! A sealed OpenBao: cached secrets are served for a while and marked as stale; all other reads fail, and none
//! gives an empty bundle.

use crate::rig::bao::until;
use crate::rig::installation::{BuildPod, InstallationSetup};
use serde_json::json;

#[tokio::test]
async fn cached_secrets_are_served_stale_and_others_refused() {
    let mut setup = InstallationSetup::new().await;
    setup.cache(json!({"ttl": "1s", "negativeTtl": "1s", "serveStaleFor": "6s"}));
    let subjects = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}]);
    let secrets = json!([{"store": "vault", "path": "homelab/{repo}/{branch}"}]);
    setup.policy("all", json!({"subjects": subjects, "repos": ["app"], "branches": ["**"], "secrets": secrets}));
    setup.bao.put("homelab/app/read", &[("K", "v")]).await;
    setup.bao.put("homelab/app/unread", &[("K", "v")]).await;
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await;
    let fresh = pod.asks("app", "read").download();
    assert_eq!((fresh.text().as_str(), fresh.header("x-claviger-stale")), (FILE, None));
    assert_eq!(pod.asks("app", "absent").file(), "");

    rig.bao.seal().await;
    let refusal = pod.asks("app", "unread").assert_refused(503, "store_unavailable");
    assert_eq!(refusal.header("retry-after").as_deref(), Some("1"));
    until("the secret to be stale", async || is_stale(&pod)).await;
    // The cached absence may have expired by now.
    until("the cached absence to expire", async || pod.asks("app", "absent").answer.status == 503).await;
    let label = "claviger_lease_cache_requests_total{outcome=\"stale\",store=\"vault\"}";
    assert!(rig.claviger.count(label) >= 1);
    let events = rig.claviger.audit_events();
    let issued: Vec<_> = events.iter().filter(|event| event["type"] == "ticket.issued").collect();
    assert_eq!(issued[0]["reason"], json!(null));
    assert!(issued.iter().any(|event| event["reason"] == "stale" && event["outcome"] == "ok"));

    until("the stale secret to expire", async || pod.asks("app", "read").answer.status != 201).await;
    for branch in ["read", "unread", "absent"] {
        pod.asks("app", branch).assert_refused(503, "store_unavailable");
    }
}

const FILE: &str = "export K='v'\n# claviger: 1 keys\n";

/// Whether the secret is marked as stale; without the mark it is still fresh.
fn is_stale(pod: &BuildPod) -> bool {
    let download = pod.asks("app", "read").download();
    assert_eq!(download.text(), FILE);
    download.header("x-claviger-stale").as_deref() == Some("true")
}
