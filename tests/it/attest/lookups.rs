//! How often the API server is called, how long its answers are cached, and what happens if it is unreachable.

use super::{BOTH, Desk, PIPELINE_RUN, POD};
use crate::rig::kube::User;
use crate::rig::kube::actors::Kube;
use crate::rig::kube::front::Front;
use crate::rig::kube::tekton::{Build, Plan};
use claviger::attest::AttestError;
use claviger::model::facts::{Facts, Needs};
use http_body_util::BodyExt as _;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const KEEP: Duration = Duration::from_secs(5);
const KEEP_ABSENT: Duration = Duration::from_secs(1);

/// The sorted paths of all calls that the chain of a build requires.
fn chain(build: &Build, version: &str) -> Vec<String> {
    let tekton = format!("/apis/tekton.dev/{version}/namespaces/ci");
    vec![
        format!("/api/v1/namespaces/ci/pods/{}", build.pod.name),
        format!("{tekton}/pipelineruns/{}", build.pipeline_run.name),
        format!("{tekton}/taskruns/{}", build.task_run.name),
    ]
}

async fn advance(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

#[tokio::test]
async fn only_what_is_needed_is_looked_up_and_once() {
    let kube = Kube::start().await;
    for version in ["v1", "v1beta1"] {
        let build = kube.build("ci/build-bot", Plan { version, ..Plan::default() }).await;
        let chain = chain(&build, version);
        for (needs, expected) in
            [(Needs::default(), &[][..]), (POD, &chain[..1]), (PIPELINE_RUN, &chain[..]), (BOTH, &chain[..])]
        {
            let front = Front::start(kube.plane, User::Broker).await;
            let desk = Desk::of(front.kubeconfig.clone()).await;
            for _ in 0..3 {
                let facts = desk.facts(&build.pod, needs).await.unwrap();
                assert_eq!((facts.pod.is_some(), facts.pipeline_run.is_some()), (needs.pod, needs.pipeline_run));
            }
            assert_eq!(front.asked(), expected, "{needs:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_at_once_are_one_lookup_of_each() {
    let kube = Kube::start().await;
    let build = Arc::new(kube.build("ci/build-bot", Plan::default()).await);
    let other = kube.build("ci/build-bot", Plan::default()).await;
    let front = Front::start(kube.plane, User::Broker).await;
    let desk = Arc::new(Desk::of(front.kubeconfig.clone()).await);
    let ask = |number: usize| {
        let (desk, build) = (desk.clone(), build.clone());
        let needs = [POD, PIPELINE_RUN, BOTH][number % 3];
        tokio::spawn(async move { (needs, desk.facts(&build.pod, needs).await.unwrap()) })
    };
    for one in (0..100).map(ask).collect::<Vec<_>>() {
        let (needs, facts) = one.await.unwrap();
        assert_eq!((facts.pod.is_some(), facts.pipeline_run.is_some()), (needs.pod, needs.pipeline_run));
    }
    assert_eq!(front.asked(), chain(&build, "v1"));
    desk.facts(&other.pod, BOTH).await.unwrap();
    assert_eq!(front.asked(), chain(&other, "v1"), "another pod is another lookup");
}

#[tokio::test]
async fn the_pods_of_a_run_share_one_look_up_of_it() {
    let kube = Kube::start().await;
    let first = kube.build("ci/build-bot", Plan::default()).await;
    let run = &first.pipeline_run;
    let metadata = json!({"ownerReferences": [run.owner()]});
    let task_run = kube.run("TaskRun", "v1", "ci", metadata, json!({})).await;
    // A wrong hint is looked up, but not trusted.
    let labels = json!({"tekton.dev/pipelineRun": run.name, "tekton.dev/pipelineRunUID": "another"});
    let metadata = json!({"labels": labels, "ownerReferences": [task_run.owner()]});
    let pod = kube.pod_with("ci/build-bot", metadata).await;
    task_run.has_status(json!({"podName": pod.name})).await;

    let front = Front::start(kube.plane, User::Broker).await;
    let desk = Desk::of(front.kubeconfig.clone()).await;
    assert!(desk.pipeline_run(&first.pod).await.is_some());
    assert_eq!(front.asked(), chain(&first, "v1"));
    assert_eq!(desk.facts(&pod, PIPELINE_RUN).await, Err(AttestError::NotYet));
    let path = format!("/apis/tekton.dev/v1/namespaces/ci/pipelineruns/{}", run.name);
    let asked = |front: &Front| front.asked().into_iter().filter(|asked| *asked == path).count();
    assert_eq!(asked(&front), 2, "for the hint, and because what was read before does not list the second one");

    let mut children = first.task_run.as_child();
    let mut other = task_run.as_child()["childReferences"][0].clone();
    other["pipelineTaskName"] = "test".into();
    children["childReferences"].as_array_mut().unwrap().push(other);
    run.has_status(children).await;
    advance(KEEP_ABSENT).await;
    assert!(desk.pipeline_run(&pod).await.is_some());
    assert_eq!(asked(&front), 2, "for the hint, and because what was read before does not list it");

    advance(KEEP).await;
    assert!(desk.pipeline_run(&first.pod).await.is_some());
    assert_eq!(asked(&front), 1);
    assert!(desk.pipeline_run(&pod).await.is_some());
    assert_eq!(asked(&front), 1, "for the hint alone: the run itself is known");
}

#[tokio::test]
async fn what_changes_is_seen_after_five_seconds() {
    let kube = Kube::start().await;
    let build = kube.build("ci/build-bot", Plan::default()).await;
    let desk = Desk::open(&kube).await;
    let seen = async || {
        let Facts { pod, pipeline_run, .. } = desk.facts(&build.pod, BOTH).await.unwrap();
        let label = pod.unwrap().labels.get("app").cloned();
        (label, pipeline_run.map(|run| run.params["repo"].clone()))
    };
    let (old, new) = ((None, Some(json!("site"))), (Some("blog".to_owned()), Some(json!("blog"))));
    assert_eq!(seen().await, old);
    build.pod.is_patched(json!({"metadata": {"labels": {"app": "blog"}}})).await;
    build.pipeline_run.is_patched(json!({"spec": {"params": [{"name": "repo", "value": "blog"}]}})).await;
    assert_eq!(seen().await, old);
    advance(KEEP).await;
    assert_eq!(seen().await, new);

    build.pipeline_run.has_status(json!({"completionTime": "2026-01-01T00:00:00Z"})).await;
    assert_eq!(seen().await, new);
    advance(KEEP).await;
    assert_eq!(seen().await.1, None, "the run is over");
}

#[tokio::test]
async fn what_appears_is_seen_after_a_second() {
    let kube = Kube::start().await;
    let plan = Plan { task_run_status: json!({"podName": null}), ..Plan::default() };
    let build = kube.build("ci/build-bot", plan).await;
    let desk = Desk::open(&kube).await;
    assert_eq!(desk.facts(&build.pod, PIPELINE_RUN).await, Err(AttestError::NotYet));
    build.task_run.has_status(json!({"podName": build.pod.name})).await;
    advance(KEEP_ABSENT).await;
    assert!(desk.pipeline_run(&build.pod).await.is_some());
}

#[tokio::test]
async fn an_api_server_that_cannot_be_asked_is_no_absence() {
    let kube = Kube::start().await;
    let build = kube.build("ci/build-bot", Plan::default()).await;
    let plane = kube.plane;
    for (kubeconfig, pod_is_known) in [
        (plane.kubeconfig_of_stopped(User::Broker), false),
        (plane.kubeconfig(User::Stranger), false),
        (plane.kubeconfig(User::Nobody), false),
        (plane.kubeconfig(User::PodReader), true),
        (plane.kubeconfig(User::Broker), true),
    ] {
        let desk = Desk::of(kubeconfig.clone()).await;
        for _ in 0..2 {
            let pod = desk.facts(&build.pod, POD).await;
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
            let facts = Desk::of(kubeconfig.clone()).await.facts(&build.pod, needs).await;
            let expected = known.then_some(true).ok_or(AttestError::Unavailable);
            assert_eq!(facts.map(|facts| facts.pipeline_run.is_some()), expected);
        }
    }
}

#[tokio::test]
async fn a_version_that_the_cluster_does_not_serve_is_absent_in_the_words_we_rely_on() {
    let kube = Kube::start().await;
    kube.build("ci/build-bot", Plan::default()).await;
    for path in ["/apis/tekton.dev/v9/namespaces/ci/taskruns/x", "/apis/tekton.dev/v1/namespaces/ci/taskruns/x"] {
        let request = http::Request::get(path).body(kube::client::Body::empty()).unwrap();
        let answer = kube.plane.client(User::Broker).await.send(request).await.unwrap();
        let (status, body) = (answer.status(), answer.into_body().collect().await.unwrap().to_bytes());
        assert_eq!(status, 404, "{path}");
        let words = String::from_utf8_lossy(&body);
        assert_eq!(words.trim() == "404 page not found", path.contains("v9"), "{words}");
    }
}
