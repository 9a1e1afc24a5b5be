//! The API server is unreachable: cached callers are accepted for a while, and no new ones.

use crate::rig::cable::Cable;
use crate::rig::installation::Plan;
use crate::rig::kube::User;
use serde_json::json;
use tokio::time::{Duration, Instant, sleep};

#[tokio::test]
async fn a_known_token_outlives_the_api_server_for_the_time_of_the_cache() {
    let mut plan = Plan::new().await;
    let cable = Cable::to(plan.kube.plane.port());
    plan.config["authenticators"][0]["kubernetes"] = json!({
        "kubeconfig": plan.kube.plane.kubeconfig_for_port(User::Broker, cable.port), "cacheTtl": "4s",
    });
    let rig = plan.start();
    let (known, stranger) = (rig.pod("ci/build-bot").await, rig.pod("ci/build-bot").await);
    known.asks("site", "main").ticket();
    cable.pull_out();
    let pulled_out = Instant::now();
    known.asks("site", "main").ticket();
    let answer = stranger.asks("site", "main").refused(503, "token_review_unavailable");
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));

    while known.asks("site", "main").answer.status == 201 {
        assert!(pulled_out.elapsed() < Duration::from_secs(10), "it is believed for longer than cacheTtl");
        sleep(Duration::from_millis(100)).await;
    }
    known.asks("site", "main").refused(503, "token_review_unavailable");

    cable.plug_in();
    known.asks("site", "main").ticket();
    stranger.asks("site", "main").ticket();
    assert!(rig.claviger.metric("claviger_authentications_total{authenticator=\"cluster\",outcome=\"failed\"}") >= 3.0);
}

#[tokio::test]
async fn the_broker_starts_without_it_and_says_so() {
    let mut plan = Plan::new().await;
    let stopped = plan.kube.plane.kubeconfig_of_stopped(User::Broker);
    plan.config["authenticators"][0]["kubernetes"]["kubeconfig"] = json!(stopped);
    let rig = plan.start();
    let pod = rig.pod("ci/build-bot").await;
    let answer = pod.asks("site", "main").refused(503, "token_review_unavailable");
    assert!(answer.header("retry-after").is_some());
    // A malformed token needs no API call.
    pod.asks_with("garbage", "site", "main").refused(401, "unauthenticated");
}
