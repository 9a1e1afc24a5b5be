//! Pods that claim a `TaskRun` of another run. Tekton adopts them by a label and an owner.

use super::{VICTIM, is_refused, outcome_of, with_policy, without_policy};
use crate::rig::kube::actors::PodActor;
use crate::rig::tekton::actors::{ObjectRef, TektonNamespace, task};
use serde_json::{Value, json};
use std::time::Duration;

/// A run of one task with retries, and the pod of its first attempt.
async fn victim(namespace: &TektonNamespace) -> (ObjectRef, PodActor) {
    let run =
        namespace.start_pipeline_run("victim", VICTIM, json!([task("build", &json!({"retries": 2}))]), json!([])).await;
    let pod = namespace.wait_for_pod(&run, "build", &[]).await;
    (namespace.wait_for_object("TaskRun", "victim-build").await, pod)
}

fn is_at(pod: &'static str) -> impl Fn(&Value) -> Option<()> {
    move |task_run| (task_run["status"]["podName"] == pod).then_some(())
}

#[test]
fn with_the_admission_policy_forgeries_are_refused_and_the_build_continues() {
    with_policy(async |namespace, broker| {
        namespace.forge_pod("victim-build-pod", None).await.unwrap();
        namespace.forge_pod("plain", None).await.unwrap();
        let run = namespace.start_pipeline_run("victim", VICTIM, json!([task("build", &json!({}))]), json!([])).await;
        let task_run = namespace.wait_for_object("TaskRun", "victim-build").await;
        assert!(
            is_refused(&namespace.forge_claim_of_pod("victim-build-pod", &task_run).await),
            "a pod with the name of the build's pod"
        );
        assert!(is_refused(&namespace.forge_claim_of_pod("plain", &task_run).await));
        let plain = namespace.kube.existing_pod(&namespace.name, "victim-build-pod").await;
        assert_eq!(outcome_of(&broker, &plain).await, "403 attestation_failed", "the pod has no owner");
        drop(run);
    });
    with_policy(async |namespace, broker| {
        let (task_run, pod) = victim(&namespace).await;
        assert_eq!(outcome_of(&broker, &pod).await, "VICTIM");
        assert!(is_refused(&namespace.forge_pod("evil", Some(&task_run)).await), "a pod for the next attempt");
        pod.delete().await;
        assert!(is_refused(&namespace.forge_pod("other", Some(&task_run)).await), "a replacement of this pod");
    });
}

#[test]
fn without_the_policy_a_pod_created_for_the_next_attempt_gets_nothing() {
    without_policy(async |namespace, broker| {
        let (task_run, pod) = victim(&namespace).await;
        namespace.start_containers(&pod).await;
        assert_eq!(outcome_of(&broker, &pod).await, "VICTIM");
        namespace.forge_pod("evil", Some(&task_run)).await.unwrap();
        // Longer than the accepted difference of clocks.
        tokio::time::sleep(Duration::from_secs(4)).await;
        namespace.end_containers(&pod, "Failed").await;
        namespace.wait_for("TaskRun", "victim-build", is_at("evil")).await;
        let evil = namespace.kube.existing_pod(&namespace.name, "evil").await;
        assert_eq!(outcome_of(&broker, &evil).await, "403 attestation_failed");
        namespace.end_containers(&evil, "Failed").await;
        // The third attempt is a genuine one again.
        let third = namespace.wait_for_pod(&ObjectRef { kind: "TaskRun", ..task_run }, "", &["evil", &pod.name]).await;
        assert_eq!(outcome_of(&broker, &third).await, "VICTIM");
    });
}

#[test]
fn without_the_policy_a_pod_older_than_its_task_run_gets_nothing() {
    without_policy(async |namespace, broker| {
        namespace.forge_pod("victim-build-pod", None).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let run = namespace.start_pipeline_run("victim", VICTIM, json!([task("build", &json!({}))]), json!([])).await;
        let task_run = namespace.wait_for_object("TaskRun", "victim-build").await;
        namespace.forge_claim_of_pod("victim-build-pod", &task_run).await.unwrap();
        namespace.wait_for("TaskRun", "victim-build", is_at("victim-build-pod")).await;
        let evil = namespace.kube.existing_pod(&namespace.name, "victim-build-pod").await;
        assert_eq!(outcome_of(&broker, &evil).await, "403 attestation_failed");
        drop(run);
    });
}

#[test]
fn without_the_policy_a_replacement_pod_gets_nothing_once_steps_have_started() {
    without_policy(async |namespace, broker| {
        let (task_run, pod) = victim(&namespace).await;
        namespace.start_containers(&pod).await;
        namespace
            .wait_for("TaskRun", "victim-build", |run| run["status"]["steps"][0]["running"].as_object().map(drop))
            .await;
        assert_eq!(outcome_of(&broker, &pod).await, "VICTIM");
        tokio::time::sleep(Duration::from_millis(1100)).await;
        namespace.replace_pod_by_forgery(&pod.name, &task_run).await;
        let evil = namespace.kube.existing_pod(&namespace.name, &pod.name).await;
        assert_eq!(outcome_of(&broker, &evil).await, "403 attestation_failed");
    });
}
