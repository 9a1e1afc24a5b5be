//! A genuine chain: which facts come from the `PipelineRun`, and until when.

use super::{Desk, caller, pipeline_run_of};
use crate::rig::kube::actors::Kube;
use crate::rig::kube::tekton::Plan;
use claviger::model::caller::Workload;
use serde_json::json;

#[tokio::test]
async fn the_run_says_what_it_was_started_with() {
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
        let build = kube.build("ci/build-bot", Plan { version, params: params.clone(), ..Plan::default() }).await;
        let facts = pipeline_run_of(&kube, &build.pod).await.expect("attested");
        assert_eq!(facts.name, build.pipeline_run.name);
        assert_eq!(json!(facts.labels), json!({"team": "web"}));
        assert_eq!(facts.annotations["note"], "n");
        let read = json!({
            "repo": "site", "branches": ["main", "dev"],
            "git": {"url": "https://git.example/site", "ref": "main"},
        });
        assert_eq!(json!(facts.params), read, "{version}: no number, and nothing that stands twice");
    }
}

#[tokio::test]
async fn params_of_another_shape_are_none() {
    let kube = Kube::start().await;
    for params in [json!([]), json!({"repo": "site"}), json!("repo=site"), json!(7)] {
        let build = kube.build("ci/build-bot", Plan { params: params.clone(), ..Plan::default() }).await;
        let facts = pipeline_run_of(&kube, &build.pod).await.expect("attested");
        assert!(facts.params.is_empty(), "{params}");
    }
}

#[tokio::test]
async fn a_run_that_is_gone_or_replaced_attests_nothing() {
    let kube = Kube::start().await;
    let build = kube.build("ci/build-bot", Plan::default()).await;
    assert!(pipeline_run_of(&kube, &build.pod).await.is_some());
    let spec = json!({"params": [{"name": "repo", "value": "crown-jewels"}]});
    let other = build.pipeline_run.is_replaced(json!({}), spec).await;
    other.has_status(build.task_run.as_child()).await;
    assert_eq!(pipeline_run_of(&kube, &build.pod).await, None, "another of its name");
    other.is_deleted().await;
    assert_eq!(pipeline_run_of(&kube, &build.pod).await, None);

    let build = kube.build("ci/build-bot", Plan::default()).await;
    assert!(pipeline_run_of(&kube, &build.pod).await.is_some());
    let metadata = json!({"ownerReferences": [build.pipeline_run.owner()]});
    let other = build.task_run.is_replaced(metadata, json!({})).await;
    other.has_status(json!({"podName": build.pod.name})).await;
    assert_eq!(pipeline_run_of(&kube, &build.pod).await, None, "another of its name");
    other.is_deleted().await;
    assert_eq!(pipeline_run_of(&kube, &build.pod).await, None);
}

#[tokio::test]
async fn a_pod_that_is_done_or_going_builds_nothing() {
    let kube = Kube::start().await;
    for (phase, attested) in [("Pending", true), ("Running", true), ("Succeeded", false), ("Failed", false)] {
        let build = kube.build("ci/build-bot", Plan::default()).await;
        build.pod.enters(phase).await;
        assert_eq!(pipeline_run_of(&kube, &build.pod).await.is_some(), attested, "{phase}");
    }
    let build = kube.build("ci/build-bot", Plan::default()).await;
    build.pod.is_being_deleted().await;
    assert_eq!(pipeline_run_of(&kube, &build.pod).await, None);
}

#[tokio::test]
async fn a_replaced_pod_and_one_of_another_service_account_build_nothing() {
    let kube = Kube::start().await;
    let mut build = kube.build("ci/build-bot", Plan::default()).await;
    let ask = async |workload: Workload| {
        let mut caller = caller(&build.pod);
        caller.workload = Some(workload);
        let facts = Desk::open(&kube).await.0.facts(&caller, super::BOTH).await.unwrap();
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

    let replacement = build.pod.is_replaced().await;
    assert_eq!(pipeline_run_of(&kube, &build.pod).await, None, "its name is another's now");
    assert_eq!(pipeline_run_of(&kube, &replacement).await, None, "nothing controls it");
}
