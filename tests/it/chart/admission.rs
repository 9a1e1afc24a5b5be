//! The chart's admission policy on a real API server: only Tekton's controller sets a Tekton run as an owner.

use super::rendered::{Rendered, render_values};
use crate::rig::kube::actors::Kube;
use crate::rig::kube::admission::{AdmissionPolicy, MALLORY, POLICY_NAME};
use http::Method;
use serde_json::{Value, json};
use std::fs;

const TEKTON: &str = "system:serviceaccount:tekton-pipelines:tekton-pipelines-controller";
const UID: &str = "00000000-0000-4000-8000-000000000001";
const MESSAGE: &str = "may be set by Tekton's controller only";

fn objects(rendered: &Rendered) -> Vec<&Value> {
    let kinds = ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];
    kinds.iter().map(|kind| rendered.find(kind, POLICY_NAME).unwrap()).collect()
}

/// Installs the policy that these values render, and waits until it is enforced.
async fn policy(kube: &Kube, values: &Value) -> AdmissionPolicy {
    let rendered = render_values(values).unwrap();
    AdmissionPolicy::in_force(kube, &objects(&rendered)).await
}

fn owner(kind: &str, more: &Value) -> Value {
    let mut owner = json!({"apiVersion": "tekton.dev/v1", "kind": kind, "name": "run", "uid": UID, "controller": true});
    owner.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    owner
}

fn is_refused(answer: &Result<Value, (u16, String)>) -> bool {
    match answer {
        Ok(_) => false,
        Err((422, message)) if message.contains(MESSAGE) => true,
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_tektons_controller_creates_what_a_run_owns() {
    let kube = Kube::start().await;
    kube.run("TaskRun", "v1", "default", json!({}), json!({})).await; // serves the kinds
    let _policy = policy(&kube, &json!({})).await;
    for (owners, is_claim) in [
        (json!([owner("TaskRun", &json!({}))]), true),
        (json!([owner("PipelineRun", &json!({}))]), true),
        (json!([owner("CustomRun", &json!({}))]), true),
        (json!([owner("TaskRun", &json!({"apiVersion": "tekton.dev/v1beta1"}))]), true),
        (json!([owner("TaskRun", &json!({"controller": false}))]), true),
        (json!([owner("Node", &json!({"apiVersion": "v1"})), owner("TaskRun", &json!({"controller": null}))]), true),
        (json!([owner("TaskRun", &json!({"apiVersion": "tekton.dev.evil/v1"}))]), false),
        (json!([owner("TaskRun", &json!({"apiVersion": "v1"}))]), false),
        (json!([owner("Pipeline", &json!({}))]), false),
        (json!([owner("Job", &json!({"apiVersion": "batch/v1"}))]), false),
        (json!([]), false),
    ] {
        assert_eq!(is_refused(&kube.create_pod_as(MALLORY, "default", owners.clone()).await), is_claim, "{owners}");
        assert!(!is_refused(&kube.create_pod_as(TEKTON, "default", owners.clone()).await), "{owners}");
        for (kind, version) in [("TaskRun", "v1"), ("PipelineRun", "v1"), ("TaskRun", "v1beta1")] {
            let run = json!({
                "apiVersion": format!("tekton.dev/{version}"), "kind": kind,
                "metadata": {"generateName": "any-", "ownerReferences": owners}, "spec": {},
            });
            let path = format!("/apis/tekton.dev/{version}/namespaces/default/{}s", kind.to_lowercase());
            let answer = kube.send_as(MALLORY, Method::POST, &path, &run).await;
            assert_eq!(is_refused(&answer), is_claim, "{kind} {version} {owners}");
            assert!(!is_refused(&kube.send_as(TEKTON, Method::POST, &path, &run).await), "{kind} {version} {owners}");
        }
    }
}

#[tokio::test]
async fn an_update_may_keep_an_owner_and_neither_add_nor_change_one() {
    let kube = Kube::start().await;
    let _policy = policy(&kube, &json!({})).await;
    let run = owner("TaskRun", &json!({}));
    let follower = owner("TaskRun", &json!({"controller": false}));
    let lookalike = owner("ConfigMap", &json!({"apiVersion": "v1"}));
    let neutral = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "c"});
    let other_uid = owner("TaskRun", &json!({"uid": "00000000-0000-4000-8000-000000000002"}));
    for (before, after, is_claim) in [
        (json!([]), json!([run]), true),
        (json!([run]), json!([run]), false),
        (json!([run]), json!([run, neutral]), false),
        (json!([run]), json!([follower]), false),
        (json!([run]), json!([]), false),
        (json!([neutral]), json!([neutral]), false),
        (json!([run]), json!([other_uid]), true),
        (json!([run]), json!([owner("TaskRun", &json!({"name": "other"}))]), true),
        (json!([run]), json!([owner("PipelineRun", &json!({}))]), true),
        (json!([run]), json!([owner("TaskRun", &json!({"apiVersion": "tekton.dev/v1beta1"}))]), true),
        // An owner of another kind with the run's uid is not a claim, and must not become one.
        (json!([lookalike]), json!([run]), true),
        (json!([follower]), json!([run]), true),
        (json!([owner("TaskRun", &json!({"controller": null}))]), json!([run]), true),
    ] {
        for (user, expected) in [(MALLORY, is_claim), (TEKTON, false)] {
            let made = kube.create_pod_as(TEKTON, "default", before.clone()).await.unwrap();
            let path = format!("/api/v1/namespaces/default/pods/{}", made["metadata"]["name"].as_str().unwrap());
            let label = json!({"metadata": {"labels": {"touched": "yes"}}});
            assert!(!is_refused(&kube.send_as(user, Method::PATCH, &path, &label).await), "{before}: a label");
            let patch = json!({"metadata": {"ownerReferences": after}});
            let answer = kube.send_as(user, Method::PATCH, &path, &patch).await;
            assert_eq!(is_refused(&answer), expected, "{user}: {before} to {after}");
        }
    }
}

#[tokio::test]
async fn the_permitted_owners_are_a_value() {
    let kube = Kube::start().await;
    let (elsewhere, loops) = ("system:serviceaccount:openshift-pipelines:tekton", "system:serviceaccount:loops:run");
    let owners = json!([owner("TaskRun", &json!({}))]);
    let values = json!({"admissionPolicy": {
        "tekton": [{"namespace": "openshift-pipelines", "name": "tekton"}],
        "others": [{"namespace": "loops", "name": "run"}],
    }});
    let policy = policy(&kube, &values).await;
    for (user, expected) in [(elsewhere, false), (loops, false), (TEKTON, true), (MALLORY, true)] {
        assert_eq!(
            is_refused(&kube.create_pod_as(user, "default?dryRun=All", owners.clone()).await),
            expected,
            "{user}"
        );
    }
    drop(policy);
    let _policy = self::policy(&kube, &json!({})).await;
    for (user, expected) in [(elsewhere, true), (loops, true), (TEKTON, false)] {
        assert_eq!(
            is_refused(&kube.create_pod_as(user, "default?dryRun=All", owners.clone()).await),
            expected,
            "{user}"
        );
    }
}

#[test]
fn the_policy_is_omitted_if_disabled_or_unsupported() {
    let count =
        |rendered: &Rendered| rendered.0.iter().filter(|object| object["metadata"]["name"] == POLICY_NAME).count();
    assert_eq!(count(&render_values(&json!({})).unwrap()), 2);
    assert_eq!(count(&render_values(&json!({"admissionPolicy": {"enabled": false}})).unwrap()), 0);
    for values in [
        json!({"tekton": []}),
        json!({"others": [{"name": "x"}]}),
        json!({"tekton": [{"namespace": "a:b", "name": "x"}]}),
    ] {
        assert!(render_values(&json!({"admissionPolicy": values})).is_err(), "{values}");
    }
    // Helm without a cluster assumes its own Kubernetes version, so the comparison itself is tested.
    let template = fs::read_to_string(super::chart().join("templates/admissionpolicy.yaml")).unwrap();
    let (guard, _) = template.split_once("}}\n").unwrap();
    assert!(guard.contains(r#"semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version"#), "{guard}");
}
