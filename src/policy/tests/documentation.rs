//! The ten policies of docs/POLICY.md compile, and decide as documented.

use super::{
    bounds, facts_with_labels, facts_with_params, names, oidc_caller, partial_request, paths, pod, request_for,
};
use crate::document::parse;
use crate::model::caller::Caller;
use crate::model::facts::{Facts, PipelineRunFacts};
use crate::model::request::UnverifiedRequest;
use crate::policy::{Decision, Policy, PolicySet};
use serde_json::{Value, json};

const TEXT: &str = include_str!("../../../docs/POLICY.md");

fn blocks() -> impl Iterator<Item = &'static str> {
    TEXT.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().expect("a block"))
}

/// The policy with this name in the document.
fn example(name: &str) -> Policy {
    let block = blocks().find(|block| block.contains(&format!("metadata: {{name: {name}}}"))).expect(name);
    Policy::from_document(parse(block).expect("well-formed"), &bounds()).expect(name)
}

/// The granted paths, or why none are granted.
fn outcome(examples: &[&str], caller: &Caller, facts: &Facts, request: &UnverifiedRequest) -> String {
    match PolicySet::new(examples.iter().map(|name| example(name))).decide(caller, facts, request) {
        Decision::Granted(grant) => paths(&grant).join(" "),
        Decision::Denied(denial) => format!("{}: {}", denial.as_str(), names(denial.policies()).join(" ")),
        Decision::PartMissing(part) => part.missing_message().to_owned(),
    }
}

fn outcome_for_pod(examples: &[&str], namespace: &str, account: &str, request: &UnverifiedRequest) -> String {
    outcome(examples, &pod(namespace, account), &Facts::default(), request)
}

#[test]
fn the_document_has_ten_examples_and_at_most_500_lines() {
    assert_eq!(blocks().count(), 10);
    assert!(blocks().all(|block| block.starts_with("apiVersion: claviger.dev/v1alpha1\n")));
    assert_eq!(TEXT.matches("**What this is worth.**").count(), 10);
    assert!(TEXT.lines().count() <= 500);
}

#[test]
fn web_sites() {
    let ask =
        |namespace, account, repo| outcome_for_pod(&["web-sites"], namespace, account, &request_for(repo, "feature/x"));
    let all = "homelab/shared homelab/moreira.dev/default homelab/moreira.dev/feature~x";
    assert_eq!(ask("tekton-web", "build-bot", "moreira.dev"), all);
    assert_eq!(ask("tekton-web", "default", "moreira.dev"), "no_policy_matches: ");
    assert_eq!(ask("sandbox", "build-bot", "moreira.dev"), "no_policy_matches: ");
    assert_eq!(ask("tekton-web", "build-bot", "other.dev"), "no_policy_matches: ");
}

#[test]
fn registry_and_no_bots() {
    let ask =
        |branch| outcome_for_pod(&["registry", "no-bots"], "tekton-web", "any", &request_for("apps/shop", branch));
    assert_eq!(ask("main"), "homelab/registry");
    assert_eq!(ask("dependabot/npm/x"), "denied_by_policy: no-bots");
    assert_eq!(outcome_for_pod(&["registry"], "web", "any", &request_for("apps/shop", "main")), "no_policy_matches: ");
}

#[test]
fn tekton_params() {
    let run = facts_with_params(json!({"repo": "acme/site", "branch": "feature/x"}));
    let ask = |facts: &Facts, request: &UnverifiedRequest| {
        outcome(&["tekton-params"], &pod("tekton-web", "build-bot"), facts, request)
    };
    assert_eq!(ask(&run, &partial_request(None, None)), "homelab/acme~site/feature~x");
    assert_eq!(ask(&run, &request_for("acme/site", "feature/x")), "homelab/acme~site/feature~x");
    assert_eq!(ask(&run, &request_for("acme/site", "main")), "attestation_failed: tekton-params");
    assert_eq!(ask(&Facts::default(), &request_for("acme/site", "main")), "attestation_failed: tekton-params");
}

#[test]
fn pipelines_as_code() {
    let run = |event: &str, branch: &str| {
        let annotation = |name: &str, value: &str| (format!("pipelinesascode.tekton.dev/{name}"), value.to_owned());
        let annotations = [
            annotation("url-org", "acme"),
            annotation("url-repository", "site"),
            annotation("source-branch", branch),
            annotation("event-type", event),
        ];
        let run = PipelineRunFacts { annotations: annotations.into(), ..PipelineRunFacts::default() };
        Facts { pipeline_run: Some(run), ..Facts::default() }
    };
    let ask =
        |facts| outcome(&["pipelines-as-code"], &pod("pac-web", "pipeline"), &facts, &partial_request(None, None));
    // Pipelines-as-Code writes the full ref for a push, and only the branch name for a pull request.
    assert_eq!(ask(run("push", "refs/heads/main")), "homelab/acme~site/main");
    assert_eq!(ask(run("push", "refs/heads/release/1")), "homelab/acme~site/release~1");
    assert_eq!(ask(run("push", "refs/heads/dev")), "no_policy_matches: ");
    assert_eq!(
        ask(run("push", "refs/tags/main")),
        "branch is missing, and no policy that names this caller attests it"
    );
    assert_eq!(ask(run("pull_request", "main")), "branch is missing, and no policy that names this caller attests it");
    assert_eq!(ask(run("pull_request", "refs/heads/main")), "no_policy_matches: ");
}

#[test]
fn labelled_pods() {
    let facts = facts_with_labels(&[("acme.example/repo", "site")]);
    let ask =
        |facts: &Facts, repo| outcome(&["labelled-pods"], &pod("builds", "builder"), facts, &request_for(repo, "main"));
    assert_eq!(ask(&facts, "site"), "homelab/site");
    assert_eq!(ask(&facts, "shop"), "attestation_failed: labelled-pods");
    assert_eq!(ask(&Facts::default(), "site"), "attestation_failed: labelled-pods");
}

/// The outcome for a caller with these claims, of which one is changed or added.
fn outcome_for_claims(example: &str, issuer: &str, claims: &Value, change: (&str, Value)) -> String {
    let mut claims = claims.clone();
    claims[change.0] = change.1;
    outcome(&[example], &oidc_caller(issuer, claims), &Facts::default(), &partial_request(None, None))
}

#[test]
fn github_actions() {
    let claims = json!({
        "repository_owner_id": "4711", "repository_id": "815", "repository": "acme/site", "event_name": "push",
        "ref": "refs/heads/main", "ref_type": "branch", "environment": "production",
    });
    let ask = |name, value| outcome_for_claims("github-push", "github", &claims, (name, value));
    assert_eq!(ask("x", json!(1)), "homelab/github/815/main");
    assert_eq!(
        ask("repository_owner_id", json!("666")),
        "repo is missing, and no policy that names this caller attests it"
    );
    assert_eq!(
        ask("event_name", json!("pull_request_target")),
        "repo is missing, and no policy that names this caller attests it"
    );
    assert_eq!(
        ask("environment", json!("preview")),
        "repo is missing, and no policy that names this caller attests it"
    );
    assert_eq!(ask("ref", json!("refs/heads/dev")), "no_policy_matches: ");
    assert_eq!(
        ask("ref", json!("refs/pull/1/merge")),
        "branch is missing, and no policy that names this caller attests it"
    );
}

#[test]
fn gitlab() {
    let claims = json!({
        "namespace_id": "42", "project_id": "7", "job_project_id": "7", "project_path": "acme/web/site", "ref": "main",
        "ref_type": "branch", "ref_protected": "true",
    });
    let ask = |name, value| outcome_for_claims("gitlab-protected", "gitlab", &claims, (name, value));
    assert_eq!(ask("x", json!(1)), "homelab/gitlab/7/main");
    assert_eq!(ask("job_project_id", json!("8")), "no_policy_matches: ");
    assert_eq!(
        ask("ref_protected", json!("false")),
        "repo is missing, and no policy that names this caller attests it"
    );
    assert_eq!(ask("namespace_id", json!("43")), "repo is missing, and no policy that names this caller attests it");
    let mut older = claims.clone();
    older.as_object_mut().expect("an object").remove("job_project_id");
    let older = oidc_caller("gitlab", older);
    let request = request_for("acme/web/site", "main");
    assert_eq!(outcome(&["gitlab-protected"], &older, &Facts::default(), &request), "no_policy_matches: ");
}

#[test]
fn release_hours() {
    let at = |time: &str, branch: &str| {
        let request = UnverifiedRequest { time: time.parse().expect("a time"), ..request_for("a", branch) };
        outcome_for_pod(&["registry", "release-hours"], "tekton-web", "bot", &request)
    };
    assert_eq!(at("2026-11-20T16:59:59Z", "production"), "homelab/registry");
    assert_eq!(at("2026-11-20T17:00:00Z", "production"), "denied_by_policy: release-hours");
    assert_eq!(at("2026-11-21T12:00:00Z", "production"), "denied_by_policy: release-hours");
    assert_eq!(at("2026-11-21T12:00:00Z", "main"), "homelab/registry");
}

#[test]
fn only_known_runs() {
    let run = |name: &str| {
        let run = PipelineRunFacts { name: name.into(), ..PipelineRunFacts::default() };
        Facts { pipeline_run: Some(run), ..Facts::default() }
    };
    let ask =
        |facts| outcome(&["registry", "only-known-runs"], &pod("tekton-web", "bot"), &facts, &request_for("a", "main"));
    assert_eq!(ask(run("release-1")), "homelab/registry");
    assert_eq!(ask(run("try-1")), "denied_by_policy: only-known-runs");
    assert_eq!(ask(Facts::default()), "denied_by_policy: only-known-runs");
}
