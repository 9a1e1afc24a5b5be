//! The API server's answers, how often it is called, and what happens if it is unreachable.

use super::ReviewAuthenticator;
use crate::rig::kube::User;
use crate::rig::kube::actors::Kube;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::authn::{AuthnError, TokenRefusal};
use claviger::cluster::token_review::Review;
use claviger::cluster::{CallFailure, Cluster};
use claviger::metrics::Metrics;
use claviger::model::secret::SecretValue;
use claviger::trust::ConnectFailure;
use std::sync::Arc;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_api_server_returns_the_fields_that_the_broker_relies_on() {
    let kube = Kube::start().await;
    let pod = kube.pod("ci/build-bot").await;
    let kubeconfig = kube.plane.kubeconfig(User::Broker);
    let cluster = Cluster::connect(Some(&kubeconfig), Arc::new(Metrics::new(&[], &[]).unwrap())).await.unwrap();
    let review = async |token: &str| cluster.token_review(&SecretValue::new(token.to_owned()), &["claviger"]).await;

    let Ok(Review::Authenticated(user)) = review(&pod.token).await else { panic!("not authenticated") };
    assert_eq!(user.audiences, ["claviger"]);
    assert_eq!(user.username, "system:serviceaccount:ci:build-bot");
    assert_eq!(user.extra["authentication.kubernetes.io/pod-name"], [pod.name.as_str()]);
    assert_eq!(user.extra["authentication.kubernetes.io/pod-uid"], [pod.uid.as_str()]);

    let unbound = kube.unbound_token("ci/build-bot", "claviger").await;
    let Ok(Review::Authenticated(user)) = review(&unbound).await else { panic!("not authenticated") };
    assert!(!user.extra.keys().any(|key| key.contains("pod")), "{:?}", user.extra);

    for bad in ["garbage", &pod.token_for("vault").await, &forged(&pod.token)] {
        assert_eq!(review(bad).await, Ok(Review::NotAuthenticated));
    }
}

#[tokio::test]
async fn a_malformed_token_causes_no_call_and_a_forged_one_a_call_per_second() {
    let kube = Kube::start().await;
    let (pod, authenticator) = (kube.pod("ci/build-bot").await, ReviewAuthenticator::open(&kube).await);
    authenticator.assert_refused("garbage", TokenRefusal::Malformed).await;
    assert_eq!(authenticator.reviews(), 0);
    let forged = forged(&pod.token);
    for _ in 0..10 {
        authenticator.assert_refused(&forged, TokenRefusal::NotAuthenticated).await;
    }
    assert_eq!(authenticator.reviews(), 1);
    authenticator.assert_accepted(&pod.token).await;
    assert_eq!(authenticator.reviews(), 2);
}

#[tokio::test]
async fn a_cached_token_causes_no_call_until_it_expires() {
    let kube = Kube::start().await;
    let pod = kube.pod("ci/build-bot").await;
    let authenticator = ReviewAuthenticator::with_kubeconfig(kube.plane.kubeconfig(User::Broker), TTL).await;
    for _ in 0..50 {
        authenticator.assert_accepted(&pod.token).await;
    }
    assert_eq!(authenticator.reviews(), 1);

    pod.delete().await;
    authenticator.assert_accepted(&pod.token).await;
    tokio::time::pause();
    tokio::time::advance(TTL).await;
    tokio::time::resume();
    assert!(
        authenticator.authenticate(&pod.token).await.is_err(),
        "after cacheTtl the token of a deleted pod is refused"
    );
    assert_eq!(authenticator.reviews(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_concurrent_requests_share_one_review() {
    let kube = Kube::start().await;
    let (pod, other) = (kube.pod("ci/build-bot").await, kube.pod("ci/build-bot").await);
    let authenticator = Arc::new(ReviewAuthenticator::with_kubeconfig(kube.plane.kubeconfig(User::Broker), TTL).await);
    let ask = |_| {
        let (authenticator, token) = (authenticator.clone(), pod.token.clone());
        tokio::spawn(async move { authenticator.authenticate(&token).await })
    };
    for one in (0..1000).map(ask).collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap().err(), None);
    }
    assert_eq!(authenticator.reviews(), 1);
    authenticator.assert_accepted(&other.token).await;
    assert_eq!(authenticator.reviews(), 2, "another token needs its own review");
}

#[tokio::test]
async fn an_unreachable_api_server_is_an_error_and_not_a_refusal() {
    let kube = Kube::start().await;
    let (pod, plane) = (kube.pod("ci/build-bot").await, kube.plane);
    for kubeconfig in [
        plane.kubeconfig_of_stopped(User::Broker),
        // The broker's credentials are invalid, cannot review, or cannot read pods.
        plane.kubeconfig(User::Stranger),
        plane.kubeconfig(User::Nobody),
        plane.kubeconfig(User::Reviewer),
    ] {
        let authenticator = ReviewAuthenticator::with_kubeconfig(kubeconfig.clone(), TTL).await;
        for _ in 0..2 {
            assert_eq!(
                authenticator.authenticate(&pod.token).await.err(),
                Some(AuthnError::Unavailable),
                "{}",
                kubeconfig.display()
            );
        }
        assert_eq!(authenticator.reviews(), 2, "errors are not cached");
    }
    ReviewAuthenticator::open(&kube).await.assert_accepted(&pod.token).await;
}

#[tokio::test]
async fn the_check_before_serving_asks_the_api_server() {
    let kube = Kube::start().await;
    let plane = kube.plane;
    assert_eq!(ReviewAuthenticator::open(&kube).await.authenticators.check_online().await, Ok(()));
    for (kubeconfig, trouble) in [
        (plane.kubeconfig_of_stopped(User::Broker), CallFailure::Unconnected(ConnectFailure::Refused)),
        (plane.kubeconfig(User::Stranger), CallFailure::Credentials),
        (plane.kubeconfig(User::Nobody), CallFailure::Credentials),
    ] {
        let faults = ReviewAuthenticator::with_kubeconfig(kubeconfig, TTL)
            .await
            .authenticators
            .check_online()
            .await
            .expect_err("no answer");
        let detail = trouble.to_string();
        assert_eq!(faults, [claviger::document::Fault::new("/authenticators/0", detail)]);
    }
}

/// The same claims with a signature that the API server did not make.
fn forged(token: &str) -> String {
    let (message, _) = token.rsplit_once('.').unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode([7; 256]))
}
