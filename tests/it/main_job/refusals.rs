//! Refused callers, each with an accepted twin.

use crate::rig::installation::{Installation, Plan};
use crate::rig::kube::DEFAULT_AUDIENCE;
use serde_json::json;
use tokio::time::{Duration, Instant, sleep};

/// An installation that caches a review for a second.
async fn forgetful() -> Installation {
    let mut plan = Plan::new().await;
    plan.config["authenticators"][0]["kubernetes"]["cacheTtl"] = json!("1s");
    plan.start()
}

#[tokio::test]
async fn what_no_policy_allows_is_denied_in_one_way() {
    let rig = Installation::start().await;
    let pod = rig.pod("ci/build-bot").await;
    pod.asks("site", "main").ticket();
    let answers = [
        rig.pod("ci/other").await.asks("site", "main").refused(403, "denied"),
        rig.pod("cd/build-bot").await.asks("site", "main").refused(403, "denied"),
        pod.asks("other", "main").refused(403, "denied"),
        pod.asks("site", "release").refused(403, "denied"),
        pod.asks("SITE", "main").refused(403, "denied"),
        pod.asks("site", "feature/x/y").refused(403, "denied"),
    ];
    for answer in &answers {
        assert_eq!(answer.body, answers[0].body, "one answer, whatever the reason");
    }
    assert_eq!(rig.claviger.count("claviger_ticket_requests_total{code=\"denied\",outcome=\"denied\"}"), 6);
    let looked_up = rig.claviger.sum("claviger_lease_cache_requests_total");
    assert_eq!(looked_up, 3, "the three of the one who was allowed: what is denied is not even looked up");
}

#[tokio::test]
async fn only_a_token_for_us_that_is_bound_to_a_pod_is_taken() {
    let rig = Installation::start().await;
    let pod = rig.pod("ci/build-bot").await;
    let unbound = rig.kube.unbound_token("ci/build-bot", "claviger").await;
    pod.asks_with(&unbound, "site", "main").refused(403, "not_pod_bound");
    for audience in ["openbao", DEFAULT_AUDIENCE] {
        let token = pod.pod.token_for(audience).await;
        let answer = pod.asks_with(&token, "site", "main").refused(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate").as_deref(), Some("Bearer"));
    }
    let (message, _) = pod.pod.token.rsplit_once('.').unwrap();
    for token in ["", "garbage", &format!("{message}.c2lnbmF0dXJl")] {
        pod.asks_with(token, "site", "main").refused(401, "unauthenticated");
    }
    pod.asks("site", "main").ticket();
}

#[tokio::test]
async fn a_pod_that_is_done_builds_no_more() {
    let rig = Installation::start().await;
    let staying = rig.pod("ci/build-bot").await;
    for phase in ["Succeeded", "Failed"] {
        let done = rig.pod("ci/build-bot").await;
        done.pod.enters(phase).await;
        done.asks("site", "main").refused(401, "unauthenticated");
    }
    let going = rig.pod("ci/build-bot").await;
    going.pod.is_being_deleted().await;
    going.asks("site", "main").refused(401, "unauthenticated");
    staying.pod.enters("Running").await;
    staying.asks("site", "main").ticket();
}

#[tokio::test]
async fn a_deleted_pods_token_dies_with_the_cache() {
    let rig = forgetful().await;
    let (gone, staying) = (rig.pod("ci/build-bot").await, rig.pod("ci/build-bot").await);
    gone.asks("site", "main").ticket();
    gone.pod.is_deleted().await;
    let deleted = Instant::now();
    while gone.asks("site", "main").answer.status == 201 {
        assert!(deleted.elapsed() < Duration::from_secs(5), "it is believed for longer than cacheTtl");
        sleep(Duration::from_millis(50)).await;
    }
    gone.asks("site", "main").refused(401, "unauthenticated");
    staying.asks("site", "main").ticket();
}

#[tokio::test]
async fn a_replaced_pod_is_another() {
    let rig = Installation::start().await;
    let mut old = rig.pod("ci/build-bot").await;
    let new = old.pod.is_replaced().await;
    old.asks("site", "main").refused(401, "unauthenticated");
    old.asks_with(&new.token, "site", "main").ticket();
}
