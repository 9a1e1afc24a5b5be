//! Only the pod that a token is bound to is accepted, and only while it runs. The API server caches the review of
//! a valid token for 10 s, so a token that was reviewed before its pod was deleted is refused by the broker's own
//! check of the pod.

use super::ReviewAuthenticator;
use crate::rig::kube::DEFAULT_AUDIENCE;
use crate::rig::kube::actors::Kube;
use claviger::authn::{AuthnError, TokenRefusal};
use claviger::model::caller::{Pod, Workload};

#[tokio::test]
async fn a_bound_token_identifies_its_pod() {
    let kube = Kube::start().await;
    let pod = kube.pod("ci/build-bot").await;
    let caller = ReviewAuthenticator::open(&kube).await.authenticate(&pod.token).await.expect("allowed");
    let workload = Workload {
        namespace: "ci".into(),
        service_account: "build-bot".into(),
        pod: Pod { name: pod.name.clone(), uid: pod.uid.clone() },
    };
    assert_eq!(caller.workload, Some(workload));
    assert_eq!((&*caller.issuer, caller.subject.as_str()), ("cluster", "system:serviceaccount:ci:build-bot"));
    assert!(caller.groups.contains(&"system:serviceaccounts:ci".to_owned()), "{:?}", caller.groups);
    assert!(caller.claims.is_empty());
}

#[tokio::test]
async fn a_token_for_another_audience_is_refused() {
    let kube = Kube::start().await;
    let (pod, authenticator) = (kube.pod("ci/build-bot").await, ReviewAuthenticator::open(&kube).await);
    authenticator.assert_accepted(&pod.token).await;
    for audience in ["vault", DEFAULT_AUDIENCE] {
        authenticator.assert_refused(&pod.token_for(audience).await, TokenRefusal::WrongAudience).await;
    }
    assert_eq!(authenticator.reviews(), 1, "a wrong audience is refused without a review");
}

#[tokio::test]
async fn a_token_bound_to_no_pod_is_refused_with_its_own_error() {
    let kube = Kube::start().await;
    let (pod, authenticator) = (kube.pod("ci/build-bot").await, ReviewAuthenticator::open(&kube).await);
    authenticator.assert_accepted(&pod.token).await;
    let unbound = kube.unbound_token("ci/build-bot", "claviger").await;
    let Err(AuthnError::NotPodBound(caller)) = authenticator.authenticate(&unbound).await else {
        panic!("it was accepted")
    };
    assert_eq!(caller.service_account(), Some(("ci", "build-bot")), "the audit event names it");
}

#[tokio::test]
async fn a_pod_is_accepted_while_it_is_pending_or_running() {
    let kube = Kube::start().await;
    let authenticator = ReviewAuthenticator::open(&kube).await;
    for done in ["Succeeded", "Failed"] {
        let pod = kube.pod("ci/build-bot").await;
        authenticator.assert_accepted(&pod.token).await;
        pod.set_phase("Running").await;
        authenticator.assert_accepted(&pod.token).await;
        pod.set_phase(done).await;
        authenticator.assert_refused(&pod.token, TokenRefusal::PodGone).await;
    }
}

#[tokio::test]
async fn a_pod_that_is_being_deleted_is_refused() {
    let kube = Kube::start().await;
    let (going, staying) = (kube.pod("ci/build-bot").await, kube.pod("ci/build-bot").await);
    going.start_deletion().await;
    let authenticator = ReviewAuthenticator::open(&kube).await;
    authenticator.assert_refused(&going.token, TokenRefusal::PodGone).await;
    authenticator.assert_accepted(&staying.token).await;
}

#[tokio::test]
async fn a_deleted_pod_is_refused() {
    let kube = Kube::start().await;
    let (pod, staying) = (kube.pod("ci/build-bot").await, kube.pod("ci/build-bot").await);
    let (reviewed, unseen) = (&pod.token, pod.token_for("claviger").await);
    let authenticator = ReviewAuthenticator::open(&kube).await;
    authenticator.assert_accepted(reviewed).await;
    pod.delete().await;
    authenticator.assert_refused(reviewed, TokenRefusal::PodGone).await;
    authenticator.assert_accepted(&staying.token).await;
    // A token that the API server has not seen before: it usually notices by itself that the pod is gone, but its
    // own cache may lag a little.
    let refused = authenticator.authenticate(&unseen).await.err();
    let (gone, unknown) = (TokenRefusal::PodGone, TokenRefusal::NotAuthenticated);
    assert!([gone, unknown].map(|why| Some(AuthnError::Refused(why))).contains(&refused), "{refused:?}");
}

#[tokio::test]
async fn the_token_of_a_replaced_pod_is_refused() {
    let kube = Kube::start().await;
    let mut pod = kube.pod("ci/build-bot").await;
    let authenticator = ReviewAuthenticator::open(&kube).await;
    authenticator.assert_accepted(&pod.token).await;
    let other = pod.replace().await;
    authenticator.assert_refused(&pod.token, TokenRefusal::PodGone).await;
    let caller = authenticator.authenticate(&other.token).await.expect("allowed");
    assert_eq!(caller.workload.as_ref().map(|workload| workload.pod.uid.as_str()), Some(other.uid.as_str()));
}
