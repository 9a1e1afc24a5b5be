//! Tekton writes a status after it has created the pod; until then attestation is undecided.

use super::{TestAttestors, pipeline_run_name};
use crate::rig::kube::actors::Kube;
use crate::rig::kube::tekton::{Build, BuildSpec};
use claviger::attest::AttestError;
use claviger::model::facts::Needs;
use serde_json::{Value, json};

const DONE: &str = "2026-01-01T00:00:00Z";
const NOT_YET: Result<Option<String>, AttestError> = Err(AttestError::NotYet);

async fn build_with_statuses(
    kube: &Kube,
    version: &'static str,
    task_run_status: Value,
    pipeline_run_status: Value,
) -> Build {
    kube.build("ci/build-bot", BuildSpec { version, task_run_status, pipeline_run_status, ..BuildSpec::default() })
        .await
}

#[tokio::test]
async fn a_task_run_without_a_pod_name_is_pending() {
    let kube = Kube::start().await;
    for version in ["v1", "v1beta1"] {
        for status in [json!({"podName": null}), json!({"podName": ""})] {
            let build = build_with_statuses(&kube, version, status, json!({})).await;
            assert_eq!(pipeline_run_name(&kube, &build.pod).await, NOT_YET);
            let task_run = TestAttestors::open(&kube).await.facts(&build.pod, Needs::TASK_RUN).await;
            assert_eq!(task_run, Err(AttestError::NotYet));
            assert!(TestAttestors::open(&kube).await.pod(&build.pod).await.is_some(), "the pod is attested");
            build.task_run.set_status(json!({"podName": build.pod.name})).await;
            assert_eq!(pipeline_run_name(&kube, &build.pod).await, Ok(Some(build.pipeline_run.name)));
        }
        let another = build_with_statuses(&kube, version, json!({"podName": "other"}), json!({})).await;
        assert_eq!(
            pipeline_run_name(&kube, &another.pod).await,
            Ok(None),
            "a TaskRun that names another pod is decided"
        );
        let done =
            build_with_statuses(&kube, version, json!({"podName": null, "completionTime": DONE}), json!({})).await;
        assert_eq!(pipeline_run_name(&kube, &done.pod).await, Ok(None), "a finished TaskRun never names a pod");
    }
}

#[tokio::test]
async fn a_pipeline_run_that_does_not_list_the_task_run_is_pending_until_it_ends() {
    let kube = Kube::start().await;
    let child = |kind: &str, name: &str| json!([{"apiVersion": "tekton.dev/v1", "kind": kind, "name": name}]);
    for version in ["v1", "v1beta1"] {
        for children in [Value::Null, json!([]), child("TaskRun", "other"), child("CustomRun", "other"), json!([{}])] {
            let build = build_with_statuses(&kube, version, json!({}), json!({"childReferences": children})).await;
            assert_eq!(pipeline_run_name(&kube, &build.pod).await, NOT_YET, "{children}");
            let attestors = TestAttestors::open(&kube).await;
            let task_run = attestors.facts(&build.pod, Needs::TASK_RUN).await.unwrap().task_run;
            assert_eq!(task_run.unwrap().name, build.task_run.name, "the TaskRun is verified by itself");
            let mut status = build.task_run.as_child();
            status["completionTime"] = DONE.into();
            build.pipeline_run.set_status(json!({"completionTime": DONE})).await;
            assert_eq!(pipeline_run_name(&kube, &build.pod).await, Ok(None), "it has ended");
            build.pipeline_run.set_status(json!({"completionTime": null})).await;
            build.pipeline_run.set_status(build.task_run.as_child()).await;
            assert_eq!(pipeline_run_name(&kube, &build.pod).await, Ok(Some(build.pipeline_run.name)));
        }
    }
}

#[tokio::test]
async fn a_task_run_that_is_listed_beside_others_is_attested() {
    let kube = Kube::start().await;
    let build = kube.build("ci/build-bot", BuildSpec::default()).await;
    // A matrix has several TaskRuns of one task, a CustomRun is not a TaskRun, and `finally` tasks start late.
    let mut children = build.task_run.as_child();
    for (kind, name, task) in
        [("TaskRun", "other-1", "build"), ("CustomRun", "wait", "wait"), ("TaskRun", "last", "last")]
    {
        let child = json!({"apiVersion": "tekton.dev/v1", "kind": kind, "name": name, "pipelineTaskName": task});
        children["childReferences"].as_array_mut().unwrap().insert(0, child);
    }
    for (tasks, attested) in [
        (json!([{"name": "build", "matrix": {"params": []}}]), true),
        (json!([{"name": "build"}]), false),
        (json!([{"name": "other", "matrix": {"params": []}}]), false),
        (json!(null), false),
    ] {
        children["pipelineSpec"] = json!({"tasks": tasks});
        build.pipeline_run.set_status(children.clone()).await;
        let expected = attested.then(|| build.pipeline_run.name.clone());
        assert_eq!(pipeline_run_name(&kube, &build.pod).await, Ok(expected), "{tasks}");
    }
}
