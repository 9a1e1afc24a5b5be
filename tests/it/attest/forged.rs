//! Forges every link between a pod and its `PipelineRun`, one at a time. Each test has an allowed twin: the same
//! build with the genuine link.

use super::{pipeline_run_of, run_named};
use crate::rig::kube::actors::Kube;
use crate::rig::kube::tekton::Plan;
use claviger::attest::AttestError;
use serde_json::{Value, json};

const OTHER_UID: &str = "00000000-0000-4000-8000-000000000000";
const DONE: &str = "2026-01-01T00:00:00Z";

/// Owners that are not a Tekton run of this kind.
fn false_owners(other_kind: &str) -> Vec<Value> {
    vec![
        json!({"controller": false}),
        json!({"controller": null}),
        json!({"kind": other_kind}),
        json!({"kind": "Job"}),
        json!({"apiVersion": "v1"}),
        json!({"apiVersion": "tekton.dev/v2"}),
        json!({"apiVersion": "evil.dev/v1"}),
        json!({"apiVersion": "tekton.dev.evil/v1"}),
        json!({"uid": OTHER_UID}),
        json!({"name": "no-such-run"}),
    ]
}

async fn is_attested_unless(forge: impl Fn(Value) -> Plan, forgeries: Vec<Value>) {
    let kube = Kube::start().await;
    for version in ["v1", "v1beta1"] {
        let honest = kube.build("ci/build-bot", Plan { version, ..forge(json!({})) }).await;
        let facts = pipeline_run_of(&kube, &honest.pod).await;
        assert_eq!(facts.map(|facts| facts.name), Some(honest.pipeline_run.name), "{version}");
        for forgery in &forgeries {
            let forged = kube.build("ci/build-bot", Plan { version, ..forge(forgery.clone()) }).await;
            assert_eq!(run_named(&kube, &forged.pod).await, Ok(None), "{version} {forgery}");
        }
    }
}

#[tokio::test]
async fn the_pod_is_controlled_by_a_task_run() {
    is_attested_unless(|pod_owner| Plan { pod_owner, ..Plan::default() }, false_owners("PipelineRun")).await;
}

#[tokio::test]
async fn the_task_run_made_the_pod_and_is_at_it() {
    let forgeries = vec![
        json!({"podName": "other"}),
        json!({"completionTime": DONE}),
        json!({"completionTime": DONE, "podName": null}),
    ];
    is_attested_unless(|task_run_status| Plan { task_run_status, ..Plan::default() }, forgeries).await;
}

#[tokio::test]
async fn the_task_run_is_controlled_by_a_pipeline_run() {
    is_attested_unless(|task_run_owner| Plan { task_run_owner, ..Plan::default() }, false_owners("TaskRun")).await;
}

#[tokio::test]
async fn the_pipeline_run_made_the_task_run_and_is_at_it() {
    let forgeries = vec![
        json!({"completionTime": DONE}),
        json!({"completionTime": DONE, "childReferences": null}),
        json!({"completionTime": DONE, "childReferences": [
            {"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": "other"},
        ]}),
    ];
    is_attested_unless(|pipeline_run_status| Plan { pipeline_run_status, ..Plan::default() }, forgeries).await;
}

#[tokio::test]
async fn a_child_of_another_kind_is_another() {
    let kube = Kube::start().await;
    for (kind, attested) in [("TaskRun", true), ("CustomRun", false), ("taskrun", false), ("", false)] {
        let build = kube.build("ci/build-bot", Plan::default()).await;
        let mut status = build.task_run.as_child();
        status["childReferences"][0]["kind"] = kind.into();
        build.pipeline_run.has_status(status).await;
        let expected = if attested { Ok(Some(build.pipeline_run.name)) } else { Err(AttestError::NotYet) };
        assert_eq!(run_named(&kube, &build.pod).await, expected, "{kind}");
    }
}

#[tokio::test]
async fn a_pod_cannot_take_anothers_run_by_saying_so() {
    let kube = Kube::start().await;
    let victim = kube.build("ci/build-bot", Plan::default()).await;
    let claims = json!({
        "labels": {"tekton.dev/pipelineRun": victim.pipeline_run.name, "tekton.dev/taskRun": victim.task_run.name},
        "ownerReferences": [victim.task_run.owner()],
    });
    let thief = kube.pod_with("ci/build-bot", claims.clone()).await;
    assert_eq!(pipeline_run_of(&kube, &thief).await, None, "the TaskRun made another pod");
    let claims_more = json!({"labels": claims["labels"], "ownerReferences": [victim.pipeline_run.owner()]});
    let thief = kube.pod_with("ci/build-bot", claims_more).await;
    assert_eq!(pipeline_run_of(&kube, &thief).await, None, "a PipelineRun makes no pods");
    let labels_alone = kube.pod_with("ci/build-bot", json!({"labels": claims["labels"]})).await;
    assert_eq!(pipeline_run_of(&kube, &labels_alone).await, None);

    // Another namespace has no such TaskRun; one of the same name has another uid.
    let abroad = kube.pod_with("other-ci/build-bot", json!({"ownerReferences": [victim.task_run.owner()]})).await;
    assert_eq!(pipeline_run_of(&kube, &abroad).await, None);
    assert!(pipeline_run_of(&kube, &victim.pod).await.is_some());
}

#[tokio::test]
async fn a_task_run_cannot_take_anothers_pipeline_run_by_saying_so() {
    let kube = Kube::start().await;
    let victim = kube.build("ci/build-bot", Plan::default()).await;
    // The attacker's own TaskRun, with a pod that Tekton really created for it.
    let metadata = json!({"ownerReferences": [victim.pipeline_run.owner()]});
    let task_run = kube.run("TaskRun", "v1", "ci", metadata, json!({})).await;
    let pod = kube.pod_with("ci/build-bot", json!({"ownerReferences": [task_run.owner()]})).await;
    task_run.has_status(json!({"podName": pod.name})).await;
    assert_eq!(run_named(&kube, &pod).await, Err(AttestError::NotYet), "the PipelineRun has not made it");
    assert!(pipeline_run_of(&kube, &victim.pod).await.is_some());
    // The only missing part was Tekton's status.
    victim.pipeline_run.has_status(task_run.as_child()).await;
    assert!(pipeline_run_of(&kube, &pod).await.is_some());
}

#[tokio::test]
async fn a_status_is_tektons_alone() {
    let kube = Kube::start().await;
    let build = kube.build("ci/build-bot", Plan { task_run_status: json!({"podName": null}), ..Plan::default() }).await;
    // A user who can write TaskRuns can send this, but it does not change the status.
    build.task_run.is_patched(json!({"status": {"podName": build.pod.name}})).await;
    assert_eq!(run_named(&kube, &build.pod).await, Err(AttestError::NotYet));
    build.task_run.has_status(json!({"podName": build.pod.name})).await;
    assert!(pipeline_run_of(&kube, &build.pod).await.is_some());
}
