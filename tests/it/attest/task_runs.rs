//! Facts about a `TaskRun`, with and without a `PipelineRun`.

use super::{TestAttestors, pipeline_run_name};
use crate::rig::kube::User;
use crate::rig::kube::actors::{Kube, PodActor};
use crate::rig::kube::recording_proxy::RecordingProxy;
use crate::rig::kube::tekton::{BuildSpec, Run};
use claviger::attest::AttestError;
use claviger::model::facts::{Needs, TaskRunFacts};
use serde_json::{Value, json};

/// The result of `tkn task start`: a `TaskRun` without an owner, and its pod.
async fn single_task_run(kube: &Kube, version: &str, spec: Value) -> (Run, PodActor) {
    let run = kube.run("TaskRun", version, "ci", json!({"labels": {"team": "web"}}), spec).await;
    let pod = kube.pod_with("ci/build-bot", json!({"ownerReferences": [run.owner_reference()]})).await;
    run.set_status(json!({"podName": pod.name})).await;
    (run, pod)
}

async fn task_run_of(kube: &Kube, pod: &PodActor) -> Result<Option<TaskRunFacts>, AttestError> {
    TestAttestors::open(kube).await.facts(pod, Needs::TASK_RUN).await.map(|facts| facts.task_run)
}

#[tokio::test]
async fn a_task_run_without_a_pipeline_run_attests_its_own_params() {
    let kube = Kube::start().await;
    for version in ["v1", "v1beta1"] {
        let spec = json!({"params": [{"name": "repo", "value": "site"}]});
        let (run, pod) = single_task_run(&kube, version, spec).await;
        run.set_status(json!({"taskSpec": {"params": [
            {"name": "branch", "type": "string", "default": "main"}, {"name": "repo", "default": "blog"},
        ]}}))
        .await;
        let facts = task_run_of(&kube, &pod).await.unwrap().expect("attested");
        assert_eq!((facts.name, json!(facts.labels)), (run.name.clone(), json!({"team": "web"})));
        assert_eq!(json!(facts.params), json!({"repo": "site", "branch": "main"}));
        assert_eq!(pipeline_run_name(&kube, &pod).await, Ok(None), "no PipelineRun");
        // Another pod with that owner is not the pod that Tekton created.
        let thief = kube.pod_with("ci/build-bot", json!({"ownerReferences": [run.owner_reference()]})).await;
        assert_eq!(task_run_of(&kube, &thief).await, Ok(None));
        run.set_status(json!({"completionTime": "2026-01-01T00:00:00Z"})).await;
        assert_eq!(task_run_of(&kube, &pod).await, Ok(None), "done");
    }
    let pod = kube.pod("ci/build-bot").await;
    assert_eq!(task_run_of(&kube, &pod).await, Ok(None), "of no TaskRun");
}

#[tokio::test]
async fn the_task_run_and_the_run_above_it_are_one_chain() {
    let kube = Kube::start().await;
    let build = kube.build("ci/build-bot", BuildSpec::default()).await;
    let proxy = RecordingProxy::start(kube.plane, User::Broker).await;
    let attestors = TestAttestors::with_kubeconfig(proxy.kubeconfig.clone()).await;
    let facts = attestors.facts(&build.pod, Needs::TASK_RUN).await.unwrap();
    assert_eq!(facts.task_run.map(|run| run.name), Some(build.task_run.name.clone()));
    assert_eq!(proxy.take_requests().len(), 2, "the pod and the TaskRun");
    let facts = attestors.facts(&build.pod, Needs::PIPELINE_RUN.union(Needs::POD)).await.unwrap();
    assert!(facts.task_run.is_none() && facts.pod.is_some());
    assert_eq!(facts.pipeline_run.map(|run| run.name), Some(build.pipeline_run.name.clone()));
    let last = format!("/apis/tekton.dev/v1/namespaces/ci/pipelineruns/{}", build.pipeline_run.name);
    assert_eq!(proxy.take_requests(), [last], "the rest is cached");
}

#[tokio::test]
async fn defaults_of_the_pipeline_apply_to_params_that_the_run_omits() {
    let kube = Kube::start().await;
    for version in ["v1", "v1beta1"] {
        let build = kube.build("ci/build-bot", BuildSpec { version, ..BuildSpec::default() }).await;
        let declared = json!([
            {"name": "repo", "default": "blog"}, {"name": "branch", "default": "main"},
            {"name": "list", "default": ["a"]}, {"name": "git", "default": {"url": "u"}}, {"name": "none"},
        ]);
        build.pipeline_run.set_status(json!({"pipelineSpec": {"params": declared}})).await;
        let facts = super::pipeline_run_of(&kube, &build.pod).await.expect("attested");
        let expected = json!({"repo": "site", "branch": "main", "list": ["a"], "git": {"url": "u"}});
        assert_eq!(json!(facts.params), expected, "{version}");
    }
}
