//! Pods that claim a `TaskRun` of another run. Tekton adopts them by a label and an owner.

use super::{VICTIM, is_refused, told, with};
use crate::rig::kube::actors::PodActor;
use crate::rig::tekton::actors::{Thing, Workshop, task};
use serde_json::{Value, json};
use std::time::Duration;

/// A run of one task with retries, and the pod of its first attempt.
async fn victim(place: &Workshop) -> (Thing, PodActor) {
    let run = place.starts("victim", VICTIM, json!([task("build", &json!({"retries": 2}))]), json!([])).await;
    let pod = place.pod(&run, "build", &[]).await;
    (place.thing("TaskRun", "victim-build").await, pod)
}

fn is_at(pod: &'static str) -> impl Fn(&Value) -> Option<()> {
    move |task_run| (task_run["status"]["podName"] == pod).then_some(())
}

#[test]
fn with_the_admission_policy_none_is_made_and_the_build_goes_on() {
    with(true, async |place, broker| {
        place.pod_of_mallorys("victim-build-pod", None).await.unwrap();
        place.pod_of_mallorys("plain", None).await.unwrap();
        let run = place.starts("victim", VICTIM, json!([task("build", &json!({}))]), json!([])).await;
        let task_run = place.thing("TaskRun", "victim-build").await;
        assert!(is_refused(&place.pod_claims("victim-build-pod", &task_run).await), "the name that was taken before");
        assert!(is_refused(&place.pod_claims("plain", &task_run).await));
        let plain = place.kube.existing_pod(&place.namespace, "victim-build-pod").await;
        assert_eq!(told(&broker, &plain).await, "403 attestation_failed", "it belongs to no run");
        drop(run);
    });
    with(true, async |place, broker| {
        let (task_run, pod) = victim(&place).await;
        assert_eq!(told(&broker, &pod).await, "VICTIM");
        assert!(is_refused(&place.pod_of_mallorys("evil", Some(&task_run)).await), "for the next attempt");
        pod.is_deleted().await;
        assert!(is_refused(&place.pod_of_mallorys("other", Some(&task_run)).await), "in the place of this one");
    });
}

#[test]
fn without_it_a_pod_that_waited_for_the_next_attempt_gets_nothing() {
    with(false, async |place, broker| {
        let (task_run, pod) = victim(&place).await;
        place.runs(&pod).await;
        assert_eq!(told(&broker, &pod).await, "VICTIM");
        place.pod_of_mallorys("evil", Some(&task_run)).await.unwrap();
        // Longer than the accepted difference of clocks.
        tokio::time::sleep(Duration::from_secs(4)).await;
        place.ends(&pod, "Failed").await;
        place.when("TaskRun", "victim-build", is_at("evil")).await;
        let evil = place.kube.existing_pod(&place.namespace, "evil").await;
        assert_eq!(told(&broker, &evil).await, "403 attestation_failed");
        place.ends(&evil, "Failed").await;
        // The third attempt is a genuine one again.
        let third = place.pod(&Thing { kind: "TaskRun", ..task_run }, "", &["evil", &pod.name]).await;
        assert_eq!(told(&broker, &third).await, "VICTIM");
    });
}

#[test]
fn without_it_a_pod_that_is_older_than_its_task_run_gets_nothing() {
    with(false, async |place, broker| {
        place.pod_of_mallorys("victim-build-pod", None).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let run = place.starts("victim", VICTIM, json!([task("build", &json!({}))]), json!([])).await;
        let task_run = place.thing("TaskRun", "victim-build").await;
        place.pod_claims("victim-build-pod", &task_run).await.unwrap();
        place.when("TaskRun", "victim-build", is_at("victim-build-pod")).await;
        let evil = place.kube.existing_pod(&place.namespace, "victim-build-pod").await;
        assert_eq!(told(&broker, &evil).await, "403 attestation_failed");
        drop(run);
    });
}

#[test]
fn without_it_a_pod_in_the_place_of_another_gets_nothing_once_steps_have_started() {
    with(false, async |place, broker| {
        let (task_run, pod) = victim(&place).await;
        place.runs(&pod).await;
        place.when("TaskRun", "victim-build", |run| run["status"]["steps"][0]["running"].as_object().map(drop)).await;
        assert_eq!(told(&broker, &pod).await, "VICTIM");
        tokio::time::sleep(Duration::from_millis(1100)).await;
        place.pod_replaced_by_mallory(&pod.name, &task_run).await;
        let evil = place.kube.existing_pod(&place.namespace, &pod.name).await;
        assert_eq!(told(&broker, &evil).await, "403 attestation_failed");
    });
}
