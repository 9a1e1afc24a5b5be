//! Only the pod that a token is bound to is accepted, and only while it runs. The API server caches the review of
//! a valid token for 10 s, so a token that was reviewed before its pod was deleted is refused by the broker's own
//! check of the pod.

use super::Desk;
use crate::rig::kube::DEFAULT_AUDIENCE;
use crate::rig::kube::actors::Kube;
use claviger::authn::{AuthnError, TokenRefusal};
use claviger::model::caller::{Pod, Workload};

#[tokio::test]
async fn a_pod_is_known_by_its_token() {
    let kube = Kube::start().await;
    let pod = kube.pod("ci/build-bot").await;
    let caller = Desk::open(&kube).await.asks(&pod.token).await.expect("allowed");
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
async fn a_token_for_others_is_refused() {
    let kube = Kube::start().await;
    let (pod, desk) = (kube.pod("ci/build-bot").await, Desk::open(&kube).await);
    desk.allows(&pod.token).await;
    for audience in ["vault", DEFAULT_AUDIENCE] {
        desk.refuses(&pod.token_for(audience).await, TokenRefusal::WrongAudience).await;
    }
    assert_eq!(desk.reviews(), 1, "what it says of itself is enough to refuse it");
}

#[tokio::test]
async fn a_token_bound_to_no_pod_is_refused_in_its_own_words() {
    let kube = Kube::start().await;
    let (pod, desk) = (kube.pod("ci/build-bot").await, Desk::open(&kube).await);
    desk.allows(&pod.token).await;
    let unbound = kube.unbound_token("ci/build-bot", "claviger").await;
    let Err(AuthnError::NotPodBound(caller)) = desk.asks(&unbound).await else { panic!("it was accepted") };
    assert_eq!(caller.service_account(), Some(("ci", "build-bot")), "the audit event names it");
}

#[tokio::test]
async fn a_pod_builds_from_pending_until_it_is_done() {
    let kube = Kube::start().await;
    let desk = Desk::open(&kube).await;
    for done in ["Succeeded", "Failed"] {
        let pod = kube.pod("ci/build-bot").await;
        desk.allows(&pod.token).await;
        pod.enters("Running").await;
        desk.allows(&pod.token).await;
        pod.enters(done).await;
        desk.refuses(&pod.token, TokenRefusal::PodGone).await;
    }
}

#[tokio::test]
async fn a_pod_that_is_being_deleted_is_refused() {
    let kube = Kube::start().await;
    let (going, staying) = (kube.pod("ci/build-bot").await, kube.pod("ci/build-bot").await);
    going.is_being_deleted().await;
    let desk = Desk::open(&kube).await;
    desk.refuses(&going.token, TokenRefusal::PodGone).await;
    desk.allows(&staying.token).await;
}

#[tokio::test]
async fn a_deleted_pod_is_refused() {
    let kube = Kube::start().await;
    let (pod, staying) = (kube.pod("ci/build-bot").await, kube.pod("ci/build-bot").await);
    let (reviewed, unseen) = (&pod.token, pod.token_for("claviger").await);
    let desk = Desk::open(&kube).await;
    desk.allows(reviewed).await;
    pod.is_deleted().await;
    desk.refuses(reviewed, TokenRefusal::PodGone).await;
    desk.allows(&staying.token).await;
    // A token that the API server has not seen before: it usually notices by itself that the pod is gone, but its
    // own cache may lag a little.
    let refused = desk.asks(&unseen).await.err();
    let (gone, unknown) = (TokenRefusal::PodGone, TokenRefusal::NotAuthenticated);
    assert!([gone, unknown].map(|why| Some(AuthnError::Refused(why))).contains(&refused), "{refused:?}");
}

#[tokio::test]
async fn a_replaced_pod_is_another() {
    let kube = Kube::start().await;
    let mut pod = kube.pod("ci/build-bot").await;
    let desk = Desk::open(&kube).await;
    desk.allows(&pod.token).await;
    let other = pod.is_replaced().await;
    desk.refuses(&pod.token, TokenRefusal::PodGone).await;
    let caller = desk.asks(&other.token).await.expect("allowed");
    assert_eq!(caller.workload.as_ref().map(|workload| workload.pod.uid.as_str()), Some(other.uid.as_str()));
}
