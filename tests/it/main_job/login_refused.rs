//! OpenBao rejects the broker's login while its own API server is unreachable: the login's validity is unknown,
//! and cached secrets are served.

use crate::rig::bao::until;
use crate::rig::cable::Cable;
use crate::rig::installation::Plan;
use serde_json::json;

const FILE: &str = "export K='v'\n# claviger: 1 keys\n";

#[tokio::test]
async fn a_login_that_has_worked_and_is_refused_is_unavailable_and_what_was_read_is_served() {
    let mut plan = Plan::new().await;
    let cable = Cable::to(plan.kube.plane.port());
    let reviewer = plan.kube.unbound_token("claviger/reviewer", crate::rig::kube::DEFAULT_AUDIENCE).await;
    let config = json!({
        "kubernetes_host": format!("https://127.0.0.1:{}", cable.port), "kubernetes_ca_cert": plan.kube.plane.ca(),
        "token_reviewer_jwt": reviewer, "disable_local_ca_jwt": true,
    });
    let post = reqwest::Method::POST;
    let (status, answer) = plan.bao.call(post.clone(), "auth/kubernetes/config", &config.to_string()).await;
    assert_eq!(status, 204, "{answer}");
    plan.cache(json!({"ttl": "1s", "negativeTtl": "1s", "serveStaleFor": "10m"}));
    // An absent secret is never served stale, so all secrets of the policy exist.
    plan.bao.put("homelab/site/default", &[("K", "default")]).await;
    plan.bao.put("homelab/shared", &[("K", "shared")]).await;
    plan.bao.put("homelab/site/main", &[("K", "v")]).await;
    let rig = plan.start();
    let pod = rig.pod("ci/build-bot").await;
    assert_eq!(pod.asks("site", "main").file(), FILE);

    cable.pull_out();
    let mut revoked = 0;
    for accessor in rig.bao.accessors().await {
        let body = json!({ "accessor": accessor }).to_string();
        let (_, token) = rig.bao.call(post.clone(), "auth/token/lookup-accessor", &body).await;
        if token["data"]["path"] == "auth/kubernetes/login" {
            rig.bao.call(post.clone(), "auth/token/revoke-accessor", &body).await;
            revoked += 1;
        }
    }
    assert_eq!(revoked, 1, "the broker's token");
    until("the secret to be stale", async || {
        let download = pod.asks("site", "main").download();
        assert_eq!(download.text(), FILE);
        download.header("x-claviger-stale").as_deref() == Some("true")
    })
    .await;
    let refusal = pod.asks("site", "feature/unread").refused(503, "store_unavailable");
    assert!(refusal.header("retry-after").is_some());
    let logins = |outcome: &str| {
        let labels = format!("operation=\"login\",outcome=\"{outcome}\",store=\"vault\"");
        rig.claviger.count(&format!("claviger_store_requests_total{{{labels}}}"))
    };
    assert!(logins("unavailable") > 0, "ClavigerStoreUnavailable tells it");
    let refused =
        rig.claviger.log().lines().any(|line| {
            line.contains("a call to the store failed") && line.contains("\"login\"") && line.contains("403")
        });
    assert!(refused, "the log says what the runbook looks for\n{}", rig.claviger.log());

    cable.plug_in();
    until("a fresh secret", async || pod.asks("site", "main").download().header("x-claviger-stale").is_none()).await;
    assert_eq!(pod.asks("site", "feature/unread").file(), "export K='default'\n# claviger: 1 keys\n");
}
