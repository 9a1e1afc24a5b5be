//! Refused callers, each with an accepted twin.

use crate::rig::installation::{Installation, InstallationSetup};
use crate::rig::kube::DEFAULT_AUDIENCE;
use serde_json::json;
use tokio::time::{Duration, Instant, sleep};

/// An installation that caches a review for a second.
async fn with_short_cache() -> Installation {
    let mut setup = InstallationSetup::new().await;
    setup.config["authenticators"][0]["kubernetes"]["cacheTtl"] = json!("1s");
    setup.start()
}

#[tokio::test]
async fn every_request_without_an_allowing_policy_has_the_same_denial() {
    let rig = Installation::start().await;
    let pod = rig.pod("ci/build-bot").await;
    pod.asks("site", "main").ticket();
    let answers = [
        rig.pod("ci/other").await.asks("site", "main").assert_refused(403, "denied"),
        rig.pod("cd/build-bot").await.asks("site", "main").assert_refused(403, "denied"),
        pod.asks("other", "main").assert_refused(403, "denied"),
        pod.asks("site", "release").assert_refused(403, "denied"),
        pod.asks("SITE", "main").assert_refused(403, "denied"),
        pod.asks("site", "feature/x/y").assert_refused(403, "denied"),
    ];
    for answer in &answers {
        assert_eq!(answer.body, answers[0].body, "all refusals have the same body");
    }
    assert_eq!(rig.claviger.count("claviger_ticket_requests_total{code=\"denied\",outcome=\"denied\"}"), 6);
    let looked_up = rig.claviger.sum("claviger_lease_cache_requests_total");
    assert_eq!(looked_up, 3, "three reads for the allowed pod, none for denied ones");
}

#[tokio::test]
async fn only_a_token_for_our_audience_and_bound_to_a_pod_is_accepted() {
    let rig = Installation::start().await;
    let pod = rig.pod("ci/build-bot").await;
    let unbound = rig.kube.unbound_token("ci/build-bot", "claviger").await;
    pod.asks_with(&unbound, "site", "main").assert_refused(403, "not_pod_bound");
    for audience in ["openbao", DEFAULT_AUDIENCE] {
        let token = pod.pod.token_for(audience).await;
        let answer = pod.asks_with(&token, "site", "main").assert_refused(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate").as_deref(), Some("Bearer"));
    }
    let (message, _) = pod.pod.token.rsplit_once('.').unwrap();
    for token in ["", "garbage", &format!("{message}.c2lnbmF0dXJl")] {
        pod.asks_with(token, "site", "main").assert_refused(401, "unauthenticated");
    }
    pod.asks("site", "main").ticket();
}

#[tokio::test]
async fn a_finished_pod_is_refused() {
    let rig = Installation::start().await;
    let staying = rig.pod("ci/build-bot").await;
    for phase in ["Succeeded", "Failed"] {
        let done = rig.pod("ci/build-bot").await;
        done.pod.set_phase(phase).await;
        done.asks("site", "main").assert_refused(401, "unauthenticated");
    }
    let going = rig.pod("ci/build-bot").await;
    going.pod.start_deletion().await;
    going.asks("site", "main").assert_refused(401, "unauthenticated");
    staying.pod.set_phase("Running").await;
    staying.asks("site", "main").ticket();
}

#[tokio::test]
async fn the_token_of_a_deleted_pod_is_refused_when_the_cache_expires() {
    let rig = with_short_cache().await;
    let (gone, staying) = (rig.pod("ci/build-bot").await, rig.pod("ci/build-bot").await);
    gone.asks("site", "main").ticket();
    gone.pod.delete().await;
    let deleted = Instant::now();
    while gone.asks("site", "main").answer.status == 201 {
        assert!(deleted.elapsed() < Duration::from_secs(5), "the token is accepted for longer than cacheTtl");
        sleep(Duration::from_millis(50)).await;
    }
    gone.asks("site", "main").assert_refused(401, "unauthenticated");
    staying.asks("site", "main").ticket();
}

#[tokio::test]
async fn the_token_of_a_replaced_pod_is_refused() {
    let rig = Installation::start().await;
    let mut old = rig.pod("ci/build-bot").await;
    let new = old.pod.replace().await;
    old.asks("site", "main").assert_refused(401, "unauthenticated");
    old.asks_with(&new.token, "site", "main").ticket();
}
