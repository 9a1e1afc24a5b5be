//! Forges every link between a pod and its `PipelineRun`, one at a time. Each test has an allowed twin: the same
//! build with the genuine link.

use super::{pipeline_run_name, pipeline_run_of};
use crate::rig::kube::actors::Kube;
use crate::rig::kube::tekton::BuildSpec;
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

async fn assert_attested_unless(forge: impl Fn(Value) -> BuildSpec, forgeries: Vec<Value>) {
    let kube = Kube::start().await;
    for version in ["v1", "v1beta1"] {
        let honest = kube.build("ci/build-bot", BuildSpec { version, ..forge(json!({})) }).await;
        let facts = pipeline_run_of(&kube, &honest.pod).await;
        assert_eq!(facts.map(|facts| facts.name), Some(honest.pipeline_run.name), "{version}");
        for forgery in &forgeries {
            let forged = kube.build("ci/build-bot", BuildSpec { version, ..forge(forgery.clone()) }).await;
            assert_eq!(pipeline_run_name(&kube, &forged.pod).await, Ok(None), "{version} {forgery}");
        }
    }
}

#[tokio::test]
async fn the_pod_must_be_controlled_by_a_task_run() {
    assert_attested_unless(|pod_owner| BuildSpec { pod_owner, ..BuildSpec::default() }, false_owners("PipelineRun"))
        .await;
}

#[tokio::test]
async fn the_task_run_must_have_created_the_pod_and_be_running() {
    let forgeries = vec![
        json!({"podName": "other"}),
        json!({"completionTime": DONE}),
        json!({"completionTime": DONE, "podName": null}),
    ];
    assert_attested_unless(|task_run_status| BuildSpec { task_run_status, ..BuildSpec::default() }, forgeries).await;
}

#[tokio::test]
async fn the_task_run_must_be_controlled_by_a_pipeline_run() {
    assert_attested_unless(
        |task_run_owner| BuildSpec { task_run_owner, ..BuildSpec::default() },
        false_owners("TaskRun"),
    )
    .await;
}

#[tokio::test]
async fn the_pipeline_run_must_have_created_the_task_run_and_be_running() {
    let forgeries = vec![
        json!({"completionTime": DONE}),
        json!({"completionTime": DONE, "childReferences": null}),
        json!({"completionTime": DONE, "childReferences": [
            {"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": "other"},
        ]}),
    ];
    assert_attested_unless(|pipeline_run_status| BuildSpec { pipeline_run_status, ..BuildSpec::default() }, forgeries)
        .await;
}

#[tokio::test]
async fn a_child_reference_of_another_kind_does_not_match() {
    let kube = Kube::start().await;
    for (kind, attested) in [("TaskRun", true), ("CustomRun", false), ("taskrun", false), ("", false)] {
        let build = kube.build("ci/build-bot", BuildSpec::default()).await;
        let mut status = build.task_run.as_child();
        status["childReferences"][0]["kind"] = kind.into();
        build.pipeline_run.set_status(status).await;
        let expected = if attested { Ok(Some(build.pipeline_run.name)) } else { Err(AttestError::NotYet) };
        assert_eq!(pipeline_run_name(&kube, &build.pod).await, expected, "{kind}");
    }
}

#[tokio::test]
async fn a_pod_cannot_claim_the_task_run_of_another_pod() {
    let kube = Kube::start().await;
    let victim = kube.build("ci/build-bot", BuildSpec::default()).await;
    let claims = json!({
        "labels": {"tekton.dev/pipelineRun": victim.pipeline_run.name, "tekton.dev/taskRun": victim.task_run.name},
        "ownerReferences": [victim.task_run.owner_reference()],
    });
    let thief = kube.pod_with("ci/build-bot", claims.clone()).await;
    assert_eq!(pipeline_run_of(&kube, &thief).await, None, "the TaskRun created another pod");
    let claims_more = json!({"labels": claims["labels"], "ownerReferences": [victim.pipeline_run.owner_reference()]});
    let thief = kube.pod_with("ci/build-bot", claims_more).await;
    assert_eq!(pipeline_run_of(&kube, &thief).await, None, "a PipelineRun creates no pods");
    let labels_alone = kube.pod_with("ci/build-bot", json!({"labels": claims["labels"]})).await;
    assert_eq!(pipeline_run_of(&kube, &labels_alone).await, None);

    // Another namespace has no such TaskRun; one of the same name has another uid.
    let abroad =
        kube.pod_with("other-ci/build-bot", json!({"ownerReferences": [victim.task_run.owner_reference()]})).await;
    assert_eq!(pipeline_run_of(&kube, &abroad).await, None);
    assert!(pipeline_run_of(&kube, &victim.pod).await.is_some());
}

#[tokio::test]
async fn a_task_run_cannot_claim_the_pipeline_run_of_another_task_run() {
    let kube = Kube::start().await;
    let victim = kube.build("ci/build-bot", BuildSpec::default()).await;
    // The attacker's own TaskRun, with a pod that Tekton really created for it.
    let metadata = json!({"ownerReferences": [victim.pipeline_run.owner_reference()]});
    let task_run = kube.run("TaskRun", "v1", "ci", metadata, json!({})).await;
    let pod = kube.pod_with("ci/build-bot", json!({"ownerReferences": [task_run.owner_reference()]})).await;
    task_run.set_status(json!({"podName": pod.name})).await;
    assert_eq!(pipeline_run_name(&kube, &pod).await, Err(AttestError::NotYet), "the PipelineRun does not list it");
    assert!(pipeline_run_of(&kube, &victim.pod).await.is_some());
    // The only missing part was Tekton's status.
    victim.pipeline_run.set_status(task_run.as_child()).await;
    assert!(pipeline_run_of(&kube, &pod).await.is_some());
}

#[tokio::test]
async fn only_tekton_can_write_a_status() {
    let kube = Kube::start().await;
    let build = kube
        .build("ci/build-bot", BuildSpec { task_run_status: json!({"podName": null}), ..BuildSpec::default() })
        .await;
    // A user who can write TaskRuns can send this, but it does not change the status.
    build.task_run.patch(json!({"status": {"podName": build.pod.name}})).await;
    assert_eq!(pipeline_run_name(&kube, &build.pod).await, Err(AttestError::NotYet));
    build.task_run.set_status(json!({"podName": build.pod.name})).await;
    assert!(pipeline_run_of(&kube, &build.pod).await.is_some());
}
