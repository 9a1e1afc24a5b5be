//! OpenBao rejects the broker's login while its own API server is unreachable: the login's validity is unknown,
//! and cached secrets are served.

use crate::rig::bao::until;
use crate::rig::installation::InstallationSetup;
use crate::rig::tcp_relay::TcpRelay;
use serde_json::json;

const FILE: &str = "export K='v'\n# claviger: 1 keys\n";

#[tokio::test]
async fn a_login_that_has_worked_and_is_refused_is_unavailable_and_what_was_read_is_served() {
    let mut setup = InstallationSetup::new().await;
    let relay = TcpRelay::to(setup.kube.plane.port());
    let reviewer = setup.kube.unbound_token("claviger/reviewer", crate::rig::kube::DEFAULT_AUDIENCE).await;
    let config = json!({
        "kubernetes_host": format!("https://127.0.0.1:{}", relay.port), "kubernetes_ca_cert": setup.kube.plane.ca(),
        "token_reviewer_jwt": reviewer, "disable_local_ca_jwt": true,
    });
    let post = reqwest::Method::POST;
    let (status, answer) = setup.bao.call(post.clone(), "auth/kubernetes/config", &config.to_string()).await;
    assert_eq!(status, 204, "{answer}");
    setup.cache(json!({"ttl": "1s", "negativeTtl": "1s", "serveStaleFor": "10m"}));
    // An absent secret is never served stale, so all secrets of the policy exist.
    setup.bao.put("homelab/site/default", &[("K", "default")]).await;
    setup.bao.put("homelab/shared", &[("K", "shared")]).await;
    setup.bao.put("homelab/site/main", &[("K", "v")]).await;
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await;
    assert_eq!(pod.asks("site", "main").file(), FILE);

    relay.disconnect();
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
    let refusal = pod.asks("site", "feature/unread").assert_refused(503, "store_unavailable");
    assert!(refusal.header("retry-after").is_some());
    let logins = |outcome: &str| {
        let labels = format!("operation=\"login\",outcome=\"{outcome}\",store=\"vault\"");
        rig.claviger.count(&format!("claviger_store_requests_total{{{labels}}}"))
    };
    assert!(logins("unavailable") > 0, "ClavigerStoreUnavailable can fire");
    let refused =
        rig.claviger.log().lines().any(|line| {
            line.contains("a call to the store failed") && line.contains("\"login\"") && line.contains("403")
        });
    assert!(refused, "the log has the message of the runbook\n{}", rig.claviger.log());

    relay.reconnect();
    until("a fresh secret", async || pod.asks("site", "main").download().header("x-claviger-stale").is_none()).await;
    assert_eq!(pod.asks("site", "feature/unread").file(), "export K='default'\n# claviger: 1 keys\n");
}
