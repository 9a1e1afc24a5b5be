//! How often the API server is called, how long its answers are cached, and what happens if it is unreachable.

use super::{BOTH, PIPELINE_RUN, POD, TestAttestors};
use crate::rig::kube::User;
use crate::rig::kube::actors::Kube;
use crate::rig::kube::recording_proxy::RecordingProxy;
use crate::rig::kube::tekton::{Build, BuildSpec};
use crate::rig::time::advance;
use claviger::attest::AttestError;
use claviger::model::facts::{Facts, Needs};
use http_body_util::BodyExt as _;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const CACHE_LIFETIME: Duration = Duration::from_secs(5);
const ABSENT_CACHE_LIFETIME: Duration = Duration::from_secs(1);

/// The sorted paths of all calls that the chain of a build requires.
fn chain(build: &Build, version: &str) -> Vec<String> {
    let tekton = format!("/apis/tekton.dev/{version}/namespaces/ci");
    vec![
        format!("/api/v1/namespaces/ci/pods/{}", build.pod.name),
        format!("{tekton}/pipelineruns/{}", build.pipeline_run.name),
        format!("{tekton}/taskruns/{}", build.task_run.name),
    ]
}

#[tokio::test]
async fn only_needed_objects_are_read_and_each_once() {
    let kube = Kube::start().await;
    for version in ["v1", "v1beta1"] {
        let build = kube.build("ci/build-bot", BuildSpec { version, ..BuildSpec::default() }).await;
        let chain = chain(&build, version);
        for (needs, expected) in
            [(Needs::default(), &[][..]), (POD, &chain[..1]), (PIPELINE_RUN, &chain[..]), (BOTH, &chain[..])]
        {
            let proxy = RecordingProxy::start(kube.plane, User::Broker).await;
            let attestors = TestAttestors::with_kubeconfig(proxy.kubeconfig.clone()).await;
            for _ in 0..3 {
                let facts = attestors.facts(&build.pod, needs).await.unwrap();
                assert_eq!((facts.pod.is_some(), facts.pipeline_run.is_some()), (needs.pod, needs.pipeline_run));
            }
            assert_eq!(proxy.take_requests(), expected, "{needs:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_concurrent_attestations_read_each_object_once() {
    let kube = Kube::start().await;
    let build = Arc::new(kube.build("ci/build-bot", BuildSpec::default()).await);
    let other = kube.build("ci/build-bot", BuildSpec::default()).await;
    let proxy = RecordingProxy::start(kube.plane, User::Broker).await;
    let attestors = Arc::new(TestAttestors::with_kubeconfig(proxy.kubeconfig.clone()).await);
    let ask = |number: usize| {
        let (attestors, build) = (attestors.clone(), build.clone());
        let needs = [POD, PIPELINE_RUN, BOTH][number % 3];
        tokio::spawn(async move { (needs, attestors.facts(&build.pod, needs).await.unwrap()) })
    };
    for one in (0..100).map(ask).collect::<Vec<_>>() {
        let (needs, facts) = one.await.unwrap();
        assert_eq!((facts.pod.is_some(), facts.pipeline_run.is_some()), (needs.pod, needs.pipeline_run));
    }
    assert_eq!(proxy.take_requests(), chain(&build, "v1"));
    attestors.facts(&other.pod, BOTH).await.unwrap();
    assert_eq!(proxy.take_requests(), chain(&other, "v1"), "another pod needs its own reads");
}

#[tokio::test]
async fn the_pods_of_a_run_share_one_read_of_the_run() {
    let kube = Kube::start().await;
    let first = kube.build("ci/build-bot", BuildSpec::default()).await;
    let run = &first.pipeline_run;
    let metadata = json!({"ownerReferences": [run.owner_reference()]});
    let task_run = kube.run("TaskRun", "v1", "ci", metadata, json!({})).await;
    // A wrong hint is looked up, but not trusted.
    let labels = json!({"tekton.dev/pipelineRun": run.name, "tekton.dev/pipelineRunUID": "another"});
    let metadata = json!({"labels": labels, "ownerReferences": [task_run.owner_reference()]});
    let pod = kube.pod_with("ci/build-bot", metadata).await;
    task_run.set_status(json!({"podName": pod.name})).await;

    let proxy = RecordingProxy::start(kube.plane, User::Broker).await;
    let attestors = TestAttestors::with_kubeconfig(proxy.kubeconfig.clone()).await;
    assert!(attestors.pipeline_run(&first.pod).await.is_some());
    assert_eq!(proxy.take_requests(), chain(&first, "v1"));
    assert_eq!(attestors.facts(&pod, PIPELINE_RUN).await, Err(AttestError::NotYet));
    let path = format!("/apis/tekton.dev/v1/namespaces/ci/pipelineruns/{}", run.name);
    let asked = |proxy: &RecordingProxy| proxy.take_requests().into_iter().filter(|asked| *asked == path).count();
    assert_eq!(
        asked(&proxy),
        2,
        "one read of the hint, and one because the cached run does not list the second TaskRun"
    );

    let mut children = first.task_run.as_child();
    let mut other = task_run.as_child()["childReferences"][0].clone();
    other["pipelineTaskName"] = "test".into();
    children["childReferences"].as_array_mut().unwrap().push(other);
    run.set_status(children).await;
    advance(ABSENT_CACHE_LIFETIME).await;
    assert!(attestors.pipeline_run(&pod).await.is_some());
    assert_eq!(asked(&proxy), 2, "one read of the hint, and one because the cached run does not list it");

    advance(CACHE_LIFETIME).await;
    assert!(attestors.pipeline_run(&first.pod).await.is_some());
    assert_eq!(asked(&proxy), 1);
    assert!(attestors.pipeline_run(&pod).await.is_some());
    assert_eq!(asked(&proxy), 1, "only the hint is read: the run is cached");
}

#[tokio::test]
async fn changed_objects_are_seen_after_five_seconds() {
    let kube = Kube::start().await;
    let build = kube.build("ci/build-bot", BuildSpec::default()).await;
    let attestors = TestAttestors::open(&kube).await;
    let seen = async || {
        let Facts { pod, pipeline_run, .. } = attestors.facts(&build.pod, BOTH).await.unwrap();
        let label = pod.unwrap().labels.get("app").cloned();
        (label, pipeline_run.map(|run| run.params["repo"].clone()))
    };
    let (old, new) = ((None, Some(json!("site"))), (Some("blog".to_owned()), Some(json!("blog"))));
    assert_eq!(seen().await, old);
    build.pod.patch(json!({"metadata": {"labels": {"app": "blog"}}})).await;
    build.pipeline_run.patch(json!({"spec": {"params": [{"name": "repo", "value": "blog"}]}})).await;
    assert_eq!(seen().await, old);
    advance(CACHE_LIFETIME).await;
    assert_eq!(seen().await, new);

    build.pipeline_run.set_status(json!({"completionTime": "2026-01-01T00:00:00Z"})).await;
    assert_eq!(seen().await, new);
    advance(CACHE_LIFETIME).await;
    assert_eq!(seen().await.1, None, "the run is over");
}

#[tokio::test]
async fn new_objects_are_seen_after_one_second() {
    let kube = Kube::start().await;
    let spec_of_build = BuildSpec { task_run_status: json!({"podName": null}), ..BuildSpec::default() };
    let build = kube.build("ci/build-bot", spec_of_build).await;
    let attestors = TestAttestors::open(&kube).await;
    assert_eq!(attestors.facts(&build.pod, PIPELINE_RUN).await, Err(AttestError::NotYet));
    build.task_run.set_status(json!({"podName": build.pod.name})).await;
    advance(ABSENT_CACHE_LIFETIME).await;
    assert!(attestors.pipeline_run(&build.pod).await.is_some());
}

#[tokio::test]
async fn an_unreachable_api_server_is_an_error_and_not_an_absence() {
    let kube = Kube::start().await;
    let build = kube.build("ci/build-bot", BuildSpec::default()).await;
    let plane = kube.plane;
    for (kubeconfig, pod_is_known) in [
        (plane.kubeconfig_of_stopped(User::Broker), false),
        (plane.kubeconfig(User::Stranger), false),
        (plane.kubeconfig(User::Nobody), false),
        (plane.kubeconfig(User::PodReader), true),
        (plane.kubeconfig(User::Broker), true),
    ] {
        let attestors = TestAttestors::with_kubeconfig(kubeconfig.clone()).await;
        for _ in 0..2 {
            let pod = attestors.facts(&build.pod, POD).await;
            assert_eq!(
                pod.map(|facts| facts.pod.is_some()),
                pod_is_known.then_some(true).ok_or(AttestError::Unavailable)
            );
        }
    }
    for (kubeconfig, known) in [
        (plane.kubeconfig_of_stopped(User::Broker), false),
        // Can read pods, but neither kind of run.
        (plane.kubeconfig(User::PodReader), false),
        (plane.kubeconfig(User::Broker), true),
    ] {
        for needs in [PIPELINE_RUN, BOTH] {
            let facts = TestAttestors::with_kubeconfig(kubeconfig.clone()).await.facts(&build.pod, needs).await;
            let expected = known.then_some(true).ok_or(AttestError::Unavailable);
            assert_eq!(facts.map(|facts| facts.pipeline_run.is_some()), expected);
        }
    }
}

#[tokio::test]
async fn an_api_version_that_is_not_served_is_absent_with_the_expected_message() {
    let kube = Kube::start().await;
    kube.build("ci/build-bot", BuildSpec::default()).await;
    for path in ["/apis/tekton.dev/v9/namespaces/ci/taskruns/x", "/apis/tekton.dev/v1/namespaces/ci/taskruns/x"] {
        let request = http::Request::get(path).body(kube::client::Body::empty()).unwrap();
        let answer = kube.plane.client(User::Broker).await.send(request).await.unwrap();
        let (status, body) = (answer.status(), answer.into_body().collect().await.unwrap().to_bytes());
        assert_eq!(status, 404, "{path}");
        let words = String::from_utf8_lossy(&body);
        assert_eq!(words.trim() == "404 page not found", path.contains("v9"), "{words}");
    }
}
