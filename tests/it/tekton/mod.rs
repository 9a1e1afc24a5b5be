//! Attestation with Tekton's own controller and webhook: genuine builds are served, and objects that claim another
//! run are not.
//!
//! The admission policy is active in the namespaces that request it, by a binding of the tests.

mod adoption;
mod builds;
mod loops;
mod pods;

use crate::chart::rendered::render_values;
use crate::rig::claviger::{Claviger, write_policies};
use crate::rig::kube::User;
use crate::rig::kube::actors::{Kube, PodActor};
use crate::rig::kube::admission::POLICY_NAME;
use crate::rig::tekton::actors::TektonNamespace;
use crate::rig::tekton::run_with_tekton;
use http::Method;
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// The repo whose secrets the attacker wants.
const VICTIM: &str = "acme/victim";

/// Runs a test with a broker, in a namespace with the admission policy.
fn with_policy(test: impl AsyncFnOnce(TektonNamespace, Claviger) + Send) {
    run_in_namespace(true, test);
}

/// The same in a namespace without the admission policy.
fn without_policy(test: impl AsyncFnOnce(TektonNamespace, Claviger) + Send) {
    run_in_namespace(false, test);
}

fn run_in_namespace(with_admission_policy: bool, test: impl AsyncFnOnce(TektonNamespace, Claviger) + Send) {
    run_with_tekton(async |kube| {
        install_admission_policy(&kube).await;
        let broker = broker(&kube);
        test(TektonNamespace::create(kube, with_admission_policy).await, broker).await;
    });
}

/// Installs the policy once. The binding is the chart's, except for its namespaces.
async fn install_admission_policy(kube: &Kube) {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let put = async || {
        let rendered = render_values(&json!({})).unwrap();
        let policy = rendered.find("ValidatingAdmissionPolicy", POLICY_NAME).unwrap();
        let mut binding = rendered.find("ValidatingAdmissionPolicyBinding", POLICY_NAME).unwrap().clone();
        binding["spec"]["matchResources"] = json!({"namespaceSelector": {"matchLabels": {"guarded": "yes"}}});
        for (resource, object) in
            [("validatingadmissionpolicies", policy), ("validatingadmissionpolicybindings", &binding)]
        {
            let path = format!("/apis/admissionregistration.k8s.io/v1/{resource}");
            kube.send_as("alice", Method::POST, &path, object).await.unwrap();
        }
        let probe = json!({"apiVersion": "v1", "kind": "Namespace",
                           "metadata": {"name": "probe", "labels": {"guarded": "yes"}}});
        kube.send_as("alice", Method::POST, "/api/v1/namespaces", &probe).await.unwrap();
        let owner = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": "probe", "uid": "probe"});
        let deadline = Instant::now() + Duration::from_secs(90);
        let run = json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": "probe"},
                         "spec": {"pipelineRef": {"name": "probe"}}});
        let path = "/apis/tekton.dev/v1/namespaces/probe/pipelineruns?dryRun=All";
        let defaulted = async || {
            let made = kube.send_as("alice", Method::POST, path, &run).await;
            made.is_ok_and(|made| made["spec"]["taskRunTemplate"]["serviceAccountName"] == "default")
        };
        while !defaulted().await {
            assert!(Instant::now() < deadline, "Tekton's webhook is not ready");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        while kube.create_pod_as("alice", "probe?dryRun=All", json!([owner])).await.is_ok() {
            assert!(Instant::now() < deadline, "the admission policy is not in force");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    INSTALLED.get_or_init(put).await;
}

/// A broker that attests by the run, or by a `TaskRun` without a run.
fn broker(kube: &Kube) -> Claviger {
    let folder = tempfile::tempdir().unwrap();
    let secrets = json!({"victim/main": {"VICTIM": "v"}, "alone/main": {"ALONE": "a"}});
    fs::write(folder.path().join("secrets.yaml"), secrets.to_string()).unwrap();
    let by = |run: &str, repo: &str, path: &str| {
        let attest = ["repo", "branch"].map(|name| format!("caller.{run}.params['{name}']"));
        json!({
            "subjects": [{"kubernetes": {"namespaces": ["builds-*"], "serviceAccounts": ["build-bot"]}}],
            "repos": [repo], "branches": ["main"], "attest": {"repo": attest[0], "branch": attest[1]},
            "secrets": [{"store": "local", "path": path}],
        })
    };
    let alone = by("taskRun", "acme/alone", "alone/{branch}");
    let policies = [("by-run", by("pipelineRun", VICTIM, "victim/{branch}")), ("by-task-run", alone)];
    write_policies(&folder.path().join("policies"), &policies);
    let config = json!({
        "authenticators": [{"name": "cluster", "kubernetes": {"kubeconfig": kube.plane.kubeconfig(User::Broker)}}],
        "stores": [{"name": "local", "file": {"path": "secrets.yaml"}}],
        "policies": {"directory": "policies"},
    });
    Claviger::serve_in(folder, config)
}

/// The pod's result for the victim's secrets once it is decided: a key, or status and code.
async fn outcome_of(claviger: &Claviger, pod: &PodActor) -> String {
    outcome_for_repo(claviger, pod, VICTIM).await
}

async fn outcome_for_repo(claviger: &Claviger, pod: &PodActor, repo: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = claviger.ask(&pod.token, &format!("repo={repo}&branch=main"));
        match answer.status {
            201 => return answer.json()["keys"][0].as_str().unwrap().to_owned(),
            503 if answer.code() == "attestation_pending" && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            status => return format!("{status} {}", answer.code()),
        }
    }
}

/// Whether the admission policy refused an API call.
fn is_refused(answer: &Result<Value, (u16, String)>) -> bool {
    matches!(answer, Err((422, message)) if message.contains("may be set by Tekton's controller only"))
}
