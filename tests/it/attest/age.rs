//! An object that replaced another of the same name is recognised: it is younger than what the other started.

use super::{TestAttestors, pipeline_run_name};
use crate::rig::kube::actors::Kube;
use crate::rig::kube::tekton::{Build, BuildSpec};
use claviger::model::facts::Needs;
use serde_json::{Value, json};
use std::time::Duration;

/// In the resolution of the API server's times: seconds.
fn at(created: &str, seconds: i64) -> String {
    let created: jiff::Timestamp = created.parse().unwrap();
    (created + jiff::SignedDuration::from_secs(seconds)).to_string()
}

async fn is_attested(kube: &Kube, build: &Build) -> bool {
    let task_run = TestAttestors::open(kube).await.facts(&build.pod, Needs::TASK_RUN).await.unwrap().task_run;
    let pipeline_run = pipeline_run_name(kube, &build.pod).await.unwrap();
    assert_eq!(task_run.is_some(), pipeline_run.is_some());
    pipeline_run.is_some()
}

#[tokio::test]
async fn a_pod_younger_than_its_steps_is_not_attested() {
    let kube = Kube::start().await;
    for version in ["v1", "v1beta1"] {
        let build = kube.build("ci/build-bot", BuildSpec { version, ..BuildSpec::default() }).await;
        let created = build.pod.creation_time().await;
        let started = |seconds| json!({"startedAt": at(&created, seconds)});
        let early = started(-1);
        let cases: Vec<(Value, bool)> = vec![
            (json!({"steps": []}), true),
            (json!({"steps": [{"waiting": {"reason": "PodInitializing"}}]}), true),
            (json!({"steps": [{"running": started(0)}]}), true),
            (json!({"steps": [{"running": started(1)}, {"terminated": started(0)}]}), true),
            (json!({"steps": [{"terminated": {"startedAt": null}}]}), true),
            // An earlier attempt had its own pod.
            (
                json!({"steps": [{"running": started(0)}], "retriesStatus": [
                    {"podName": "other", "steps": [{"terminated": started(-60)}]},
                ]}),
                true,
            ),
            // Until the pod of this attempt has steps, the status lists those of the previous attempt.
            (
                json!({"steps": [{"terminated": started(-60)}], "retriesStatus": [
                    {"podName": "other", "steps": [{"terminated": started(-60)}]},
                ]}),
                true,
            ),
            (
                json!({"steps": [{"terminated": started(-60)}], "retriesStatus": [
                    {"podName": "other", "steps": [{"terminated": started(-90)}]},
                ]}),
                false,
            ),
            (json!({"steps": [{"running": early}]}), false),
            (json!({"steps": [{"terminated": early}]}), false),
            (json!({"steps": [{"running": started(9)}, {"waiting": {}}, {"terminated": started(-3600)}]}), false),
            (json!({"steps": [{"running": started(0)}], "sidecars": [{"running": early}]}), false),
        ];
        for (status, attested) in cases {
            let mut whole = json!({"steps": null, "sidecars": null, "retriesStatus": null});
            whole.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
            build.task_run.set_status(whole).await;
            assert_eq!(is_attested(&kube, &build).await, attested, "{version} {status}");
        }
    }
}

#[tokio::test]
async fn a_replacement_of_the_pod_of_a_running_task_is_not_attested() {
    let kube = Kube::start().await;
    let mut build = kube.build("ci/build-bot", BuildSpec::default()).await;
    let started = json!({"startedAt": build.pod.creation_time().await});
    build.task_run.set_status(json!({"steps": [{"running": started}]})).await;
    assert!(is_attested(&kube, &build).await);
    // The attacker may delete and create pods: name and owner are the same, but the pod is younger.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    build.pod = build.pod.replace_with(json!({"ownerReferences": [build.task_run.owner_reference()]})).await;
    assert!(!is_attested(&kube, &build).await);
}

#[tokio::test]
async fn a_task_run_younger_than_its_start_time_is_not_attested() {
    let kube = Kube::start().await;
    for version in ["v1", "v1beta1"] {
        let build = kube.build("ci/build-bot", BuildSpec { version, ..BuildSpec::default() }).await;
        let created = build.task_run.creation_time().await;
        for (seconds, attested) in [(0, true), (1, true), (3600, true), (-1, false), (-3600, false)] {
            build.task_run.set_status(json!({"startTime": at(&created, seconds)})).await;
            assert_eq!(is_attested(&kube, &build).await, attested, "{version} {seconds}");
        }
    }
}

#[tokio::test]
async fn a_pod_older_than_its_task_run_is_not_attested() {
    let kube = Kube::start().await;
    let build = kube.build("ci/build-bot", BuildSpec::default()).await;
    assert!(is_attested(&kube, &build).await);
    let pod = kube.pod_with("ci/build-bot", json!({})).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let late = kube.build("ci/build-bot", BuildSpec::default()).await;
    pod.patch(json!({"metadata": {"ownerReferences": [late.task_run.owner_reference()]}})).await;
    late.task_run.set_status(json!({"podName": pod.name})).await;
    assert!(!is_attested(&kube, &Build { pod, ..late }).await);
}

#[tokio::test]
async fn a_pod_older_than_the_end_of_the_previous_attempt_is_not_attested() {
    let kube = Kube::start().await;
    for version in ["v1", "v1beta1"] {
        let build = kube.build("ci/build-bot", BuildSpec { version, ..BuildSpec::default() }).await;
        let created = build.pod.creation_time().await;
        // These times come from two clocks.
        for (seconds, attested) in [(-3600, true), (0, true), (2, true), (3, false), (3600, false)] {
            let ended = |seconds| json!({"podName": "other", "completionTime": at(&created, seconds)});
            build.task_run.set_status(json!({"retriesStatus": [ended(-7200), ended(seconds)]})).await;
            assert_eq!(is_attested(&kube, &build).await, attested, "{version} {seconds}");
        }
    }
}

#[tokio::test]
async fn a_task_run_older_than_the_end_of_the_previous_task_is_not_attested() {
    let kube = Kube::start().await;
    let build = kube.build("ci/build-bot", BuildSpec::default()).await;
    let metadata = json!({"ownerReferences": [build.pipeline_run.owner_reference()]});
    let clone = kube.run("TaskRun", "v1", "ci", metadata, json!({})).await;
    let child = |name: &str, task: &str| json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": name, "pipelineTaskName": task});
    let children = [child(&clone.name, "clone"), child(&build.task_run.name, "build")];
    let clone_task = json!({"name": "clone"});
    let created = build.task_run.creation_time().await;
    for (tasks, finally) in [
        (json!([clone_task, {"name": "build", "runAfter": ["clone"]}]), json!([])),
        (
            json!([clone_task, {"name": "build", "params": [{"name": "p", "value": "$(tasks.clone.results.r)"}]}]),
            json!([]),
        ),
        (
            json!([clone_task, {"name": "skipped", "runAfter": ["clone"]}, {"name": "build", "runAfter": ["skipped"]}]),
            json!([]),
        ),
        (json!([clone_task]), json!([{"name": "build"}])),
    ] {
        let spec = json!({"tasks": tasks, "finally": finally});
        build.pipeline_run.set_status(json!({"childReferences": children, "pipelineSpec": spec})).await;
        for (ended, attested) in [
            (json!(null), false),
            (json!(at(&created, -3600)), true),
            (json!(at(&created, 0)), true),
            (json!(at(&created, 2)), true),
            (json!(at(&created, 3)), false),
        ] {
            clone.set_status(json!({"completionTime": ended})).await;
            let run = pipeline_run_name(&kube, &build.pod).await.unwrap();
            assert_eq!(run.is_some(), attested, "{spec} {ended}");
        }
    }
    let spec = json!({"tasks": [clone_task, {"name": "build"}], "finally": null});
    build.pipeline_run.set_status(json!({"pipelineSpec": spec})).await;
    assert!(pipeline_run_name(&kube, &build.pod).await.unwrap().is_some(), "no task precedes it");
    let spec = json!({"tasks": [clone_task, {"name": "build", "runAfter": ["clone"]}]});
    build.pipeline_run.set_status(json!({"pipelineSpec": spec})).await;
    clone.set_status(json!({"completionTime": at(&created, 0)})).await;
    assert!(pipeline_run_name(&kube, &build.pod).await.unwrap().is_some());
    clone.delete().await;
    assert!(pipeline_run_name(&kube, &build.pod).await.unwrap().is_none(), "the end of the previous task is unknown");
}
