//! `attestation.admissionPolicy`: the broker's behaviour for each state of a cluster's admission policy.

use crate::chart::rendered::render_values;
use crate::rig::claviger::{Claviger, run, wait_until, write_policies};
use crate::rig::kube::User;
use crate::rig::kube::actors::{Kube, PodActor};
use crate::rig::kube::admission::{AdmissionPolicy, POLICY_NAME};
use crate::rig::kube::tekton::BuildSpec;
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

const OTHER: &str = "request.userInfo.username in variables.makers";
/// The SHA-256 of `OTHER`, by `sha256sum`.
const DIGEST_OF_OTHER: &str = "sha256:a647a0951d4ea2c2baa4103d3cfc2ec9a434fe24bddb6b1efe73f5eeb1548696";

fn shipped() -> [Value; 2] {
    let rendered = render_values(&json!({})).unwrap();
    ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]
        .map(|kind| rendered.find(kind, POLICY_NAME).unwrap().clone())
}

/// A folder with a broker's configuration: policy `by-run` attests by the run's params, the others attest nothing.
fn folder(kube: &Kube, user: User, mode: &str) -> (TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("secrets.yaml"),
        r#"{"site": {"K": "v"}, "plain": {"P": "v"}, "guarded": {"G": "v"}}"#,
    )
    .unwrap();
    let subjects = |account: &str| json!([{"kubernetes": {"namespaces": ["admission"], "serviceAccounts": [account]}}]);
    let of = |account: &str, repo: &str| {
        json!({
            "subjects": subjects(account), "repos": [repo], "branches": ["main"],
            "secrets": [{"store": "local", "path": repo}],
        })
    };
    let mut by_run = of("run-bot", "site");
    by_run["attest"] = json!({"repo": "caller.pipelineRun.params.repo"});
    let mut outside_of_pipelines = of("condition-bot", "outside");
    outside_of_pipelines["condition"] = json!("!has(caller.pipelineRun)");
    let no_forks = json!({
        "effect": "deny", "subjects": subjects("condition-bot"), "repos": ["guarded"], "branches": ["**"],
        "condition": "has(caller.pipelineRun) && has(caller.pipelineRun.labels.fork)",
    });
    let policies = [
        ("by-run", by_run),
        ("plain", of("*", "plain")),
        ("guarded", of("condition-bot", "guarded")),
        ("no-forks", no_forks),
        ("outside", outside_of_pipelines),
    ];
    write_policies(&folder.path().join("policies"), &policies);
    let config = json!({
        "authenticators": [{"name": "cluster", "kubernetes": {"kubeconfig": kube.plane.kubeconfig(user)}}],
        "stores": [{"name": "local", "file": {"path": "secrets.yaml"}}],
        "policies": {"directory": "policies"},
        "attestation": {"admissionPolicy": mode},
        "server": {"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0"},
        "database": {"url": "sqlite://claviger.db"},
    });
    (folder, config)
}

/// A broker that reports this state.
fn broker(kube: &Kube, mode: &str, state: &str) -> Claviger {
    let (folder, config) = folder(kube, User::Broker, mode);
    let claviger = Claviger::serve_in(folder, config);
    wait_for_state(&claviger, state);
    claviger
}

fn wait_for_state(claviger: &Claviger, state: &str) {
    let series = format!("claviger_admission_policy{{cluster=\"cluster\",state=\"{state}\"}} 1");
    wait_until(&series, || claviger.metrics().contains(&series));
    assert_eq!(claviger.sum("claviger_admission_policy"), 1, "exactly one state is reported");
}

/// Status and code of requests with and without the repo, and the reasons in the audit log.
fn outcome_of(claviger: &Claviger, pod: &PodActor) -> Vec<String> {
    let answers = ["repo=site&branch=main", "branch=main"].map(|form| claviger.ask(&pod.token, form));
    let mut outcomes: Vec<String> = answers
        .iter()
        .map(|answer| if answer.status == 201 { "201".into() } else { format!("{} {}", answer.status, answer.code()) })
        .collect();
    outcomes.dedup();
    for event in claviger.audit_events() {
        if event["type"] == "ticket.denied" && !["guarded", "outside"].map(Value::from).contains(&event["repo"]) {
            assert_eq!([&event["reason"], &event["policies"][0]], ["admission_policy_missing", "by-run"]);
        }
    }
    outcomes
}

#[tokio::test]
async fn required_mode_attests_only_with_the_admission_policy_in_force() {
    let kube = Kube::start().await;
    let build = kube.build("admission/run-bot", BuildSpec::default()).await;
    let other = kube.build("admission/condition-bot", BuildSpec::default()).await;
    let [policy, binding] = shipped();
    let installed = AdmissionPolicy::absent(&kube).await;
    let refused = ["403 denied"];
    let plain = |claviger: &Claviger| claviger.ask(&build.pod.token, "repo=plain&branch=main").status;

    let absent = broker(&kube, "require", "absent");
    assert_eq!(outcome_of(&absent, &build.pod), refused);
    assert_eq!(plain(&absent), 201, "a policy without attestation still grants");
    let by_condition = |claviger: &Claviger| {
        ["guarded", "outside"].map(|repo| claviger.ask(&other.pod.token, &format!("repo={repo}&branch=main")).status)
    };
    assert_eq!(by_condition(&absent), [403, 403], "an unknown run neither passes a deny policy nor counts as no run");
    let warned = broker(&kube, "warn", "absent");
    assert_eq!(outcome_of(&warned, &build.pod), ["201"]);
    assert_eq!(warned.count_logged("is not in force"), 1, "{}", warned.log());

    installed.put(&policy).await;
    assert_eq!(outcome_of(&broker(&kube, "require", "absent"), &build.pod), refused, "the policy has no binding");
    installed.put(&binding).await;
    let mut present = broker(&kube, "require", "present");
    assert_eq!(outcome_of(&present, &build.pod), ["201"]);
    assert_eq!(by_condition(&present), [201, 403]);
    present.wait_for_line("owners of Tekton runs is in force");

    let mut weakened = policy.clone();
    weakened["spec"]["failurePolicy"] = json!("Ignore");
    installed.put(&weakened).await;
    assert_eq!(outcome_of(&broker(&kube, "require", "weakened"), &build.pod), refused);
    // A running broker notices it too, after a while.
    wait_for_state(&present, "weakened");
    assert_eq!(outcome_of(&present, &build.pod), refused);

    let mut outdated = policy.clone();
    outdated["spec"]["validations"][0]["expression"] = json!(OTHER);
    outdated["metadata"]["annotations"]["claviger.dev/expression-digest"] = json!(DIGEST_OF_OTHER);
    outdated["metadata"]["labels"]["app.kubernetes.io/version"] = json!("0.0.9");
    installed.put(&outdated).await;
    let mut broker = broker(&kube, "require", "outdated");
    assert_eq!(outcome_of(&broker, &build.pod), ["201"]);
    assert_eq!(broker.wait_for_line("is of another version")["version"], "0.0.9");
}

#[tokio::test]
async fn a_broker_without_read_permission_reports_unreadable() {
    let kube = Kube::start().await;
    let installed = AdmissionPolicy::absent(&kube).await;
    for object in shipped() {
        installed.put(&object).await;
    }
    for (mode, user, code, word) in [
        ("require", User::Broker, 0, "present"),
        ("require", User::Reviewer, 1, "unreadable, and attestation.admissionPolicy is require"),
        ("warn", User::Reviewer, 0, "unreadable"),
        ("off", User::Reviewer, 0, "off"),
    ] {
        let (folder, config) = folder(&kube, user, mode);
        let file = folder.path().join("claviger.yaml");
        fs::write(&file, config.to_string()).unwrap();
        let (status, stdout, stderr) = run(&["check", "--online", "--config", &file.display().to_string()]);
        assert!(stdout.contains(&format!("\nadmission policy of cluster: {word}\n")), "{stdout}{stderr}");
        assert_eq!(status, Some(code), "{stdout}{stderr}");
    }
}
