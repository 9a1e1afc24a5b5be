//! The API server is unreachable: cached callers are accepted for `cacheTtl`, and all others are refused.

use crate::rig::installation::InstallationSetup;
use crate::rig::kube::User;
use crate::rig::tcp_relay::TcpRelay;
use serde_json::json;
use tokio::time::{Duration, Instant, sleep};

#[tokio::test]
async fn a_cached_token_is_accepted_for_the_cache_ttl_without_the_api_server() {
    let mut setup = InstallationSetup::new().await;
    let relay = TcpRelay::to(setup.kube.plane.port());
    setup.config["authenticators"][0]["kubernetes"] = json!({
        "kubeconfig": setup.kube.plane.kubeconfig_for_port(User::Broker, relay.port), "cacheTtl": "4s",
    });
    let rig = setup.start();
    let (known, stranger) = (rig.pod("ci/build-bot").await, rig.pod("ci/build-bot").await);
    known.asks("site", "main").ticket();
    relay.disconnect();
    let disconnected_at = Instant::now();
    known.asks("site", "main").ticket();
    let answer = stranger.asks("site", "main").assert_refused(503, "token_review_unavailable");
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));

    while known.asks("site", "main").answer.status == 201 {
        assert!(disconnected_at.elapsed() < Duration::from_secs(10), "the token is accepted for longer than cacheTtl");
        sleep(Duration::from_millis(100)).await;
    }
    known.asks("site", "main").assert_refused(503, "token_review_unavailable");

    relay.reconnect();
    known.asks("site", "main").ticket();
    stranger.asks("site", "main").ticket();
    assert!(rig.claviger.metric("claviger_authentications_total{authenticator=\"cluster\",outcome=\"failed\"}") >= 3.0);
}

#[tokio::test]
async fn the_broker_starts_without_the_api_server_and_refuses_requests_with_503() {
    let mut setup = InstallationSetup::new().await;
    let stopped = setup.kube.plane.kubeconfig_of_stopped(User::Broker);
    setup.config["authenticators"][0]["kubernetes"]["kubeconfig"] = json!(stopped);
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await;
    let answer = pod.asks("site", "main").assert_refused(503, "token_review_unavailable");
    assert!(answer.header("retry-after").is_some());
    // A malformed token needs no API call.
    pod.asks_with("garbage", "site", "main").assert_refused(401, "unauthenticated");
}
