//! A genuine chain: which facts come from the `PipelineRun`, and until when.

use super::{TestAttestors, caller, pipeline_run_of};
use crate::rig::kube::actors::Kube;
use crate::rig::kube::tekton::BuildSpec;
use claviger::model::caller::Workload;
use serde_json::json;

#[tokio::test]
async fn facts_have_the_params_labels_and_annotations_of_the_run() {
    let kube = Kube::start().await;
    let params = json!([
        {"name": "repo", "value": "site"},
        {"name": "branches", "value": ["main", "dev"]},
        {"name": "git", "value": {"url": "https://git.example/site", "ref": "main"}},
        {"name": "number", "value": 7},
        {"name": "twice", "value": "a"},
        {"name": "twice", "value": "b"},
    ]);
    for version in ["v1", "v1beta1"] {
        let build =
            kube.build("ci/build-bot", BuildSpec { version, params: params.clone(), ..BuildSpec::default() }).await;
        let facts = pipeline_run_of(&kube, &build.pod).await.expect("attested");
        assert_eq!(facts.name, build.pipeline_run.name);
        assert_eq!(json!(facts.labels), json!({"team": "web"}));
        assert_eq!(facts.annotations["note"], "n");
        let read = json!({
            "repo": "site", "branches": ["main", "dev"],
            "git": {"url": "https://git.example/site", "ref": "main"},
        });
        assert_eq!(json!(facts.params), read, "{version}: no number and no duplicate");
    }
}

#[tokio::test]
async fn params_of_an_unexpected_type_are_ignored() {
    let kube = Kube::start().await;
    for params in [json!([]), json!({"repo": "site"}), json!("repo=site"), json!(7)] {
        let build = kube.build("ci/build-bot", BuildSpec { params: params.clone(), ..BuildSpec::default() }).await;
        let facts = pipeline_run_of(&kube, &build.pod).await.expect("attested");
        assert!(facts.params.is_empty(), "{params}");
    }
}

#[tokio::test]
async fn a_deleted_or_replaced_run_attests_nothing() {
    let kube = Kube::start().await;
    let build = kube.build("ci/build-bot", BuildSpec::default()).await;
    assert!(pipeline_run_of(&kube, &build.pod).await.is_some());
    let spec = json!({"params": [{"name": "repo", "value": "crown-jewels"}]});
    let other = build.pipeline_run.replace(json!({}), spec).await;
    other.set_status(build.task_run.as_child()).await;
    assert_eq!(pipeline_run_of(&kube, &build.pod).await, None, "the new object of this name");
    other.delete().await;
    assert_eq!(pipeline_run_of(&kube, &build.pod).await, None);

    let build = kube.build("ci/build-bot", BuildSpec::default()).await;
    assert!(pipeline_run_of(&kube, &build.pod).await.is_some());
    let metadata = json!({"ownerReferences": [build.pipeline_run.owner_reference()]});
    let other = build.task_run.replace(metadata, json!({})).await;
    other.set_status(json!({"podName": build.pod.name})).await;
    assert_eq!(pipeline_run_of(&kube, &build.pod).await, None, "the new object of this name");
    other.delete().await;
    assert_eq!(pipeline_run_of(&kube, &build.pod).await, None);
}

#[tokio::test]
async fn a_finished_or_terminating_pod_is_not_attested() {
    let kube = Kube::start().await;
    for (phase, attested) in [("Pending", true), ("Running", true), ("Succeeded", false), ("Failed", false)] {
        let build = kube.build("ci/build-bot", BuildSpec::default()).await;
        build.pod.set_phase(phase).await;
        assert_eq!(pipeline_run_of(&kube, &build.pod).await.is_some(), attested, "{phase}");
    }
    let build = kube.build("ci/build-bot", BuildSpec::default()).await;
    build.pod.start_deletion().await;
    assert_eq!(pipeline_run_of(&kube, &build.pod).await, None);
}

#[tokio::test]
async fn a_replaced_pod_and_one_of_another_service_account_are_not_attested() {
    let kube = Kube::start().await;
    let mut build = kube.build("ci/build-bot", BuildSpec::default()).await;
    let ask = async |workload: Workload| {
        let mut caller = caller(&build.pod);
        caller.workload = Some(workload);
        let facts = TestAttestors::open(&kube).await.0.facts(&caller, super::BOTH).await.unwrap();
        (facts.pod.is_some(), facts.pipeline_run.is_some())
    };
    let workload = caller(&build.pod).workload.unwrap();
    assert_eq!(ask(workload.clone()).await, (true, true));
    let other = Workload { service_account: "deploy-bot".into(), ..workload.clone() };
    assert_eq!(ask(other).await, (true, false));
    let mut other = workload.clone();
    other.pod.uid = "00000000-0000-4000-8000-000000000000".into();
    assert_eq!(ask(other).await, (false, false));
    // An invalid name is not looked up.
    let mut other = workload;
    other.pod.name = "../pods/x".into();
    assert_eq!(ask(other).await, (false, false));

    let replacement = build.pod.replace().await;
    assert_eq!(pipeline_run_of(&kube, &build.pod).await, None, "the old pod is not attested");
    assert_eq!(pipeline_run_of(&kube, &replacement).await, None, "the new pod has no owner");
}
