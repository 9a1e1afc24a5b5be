//! The facts that a decision needs: those that evaluated expressions use.

use super::{oidc_caller, partial_request, pod, policy, request_for};
use crate::policy::{Policy, PolicySet};
use serde_json::json;

fn policy_with(lines: &str) -> Policy {
    let patterns = if lines.contains("repos:") { "" } else { "repos: [site]\nbranches: [main]\n" };
    let subjects = "subjects: [{kubernetes: {namespaces: ['ci'], serviceAccounts: ['bot']}}]\n";
    let secrets = if lines.contains("deny") { "" } else { "\nsecrets: [{store: vault, path: a}]" };
    policy("p", &format!("{subjects}{patterns}{lines}{secrets}"))
}

/// Whether a decision needs facts about the pod, and about the `PipelineRun`.
fn needs(lines: &str, namespace: &str, repo: Option<&str>, branch: Option<&str>) -> (bool, bool) {
    let needs = PolicySet::new(vec![policy_with(lines)]).needs(&pod(namespace, "bot"), &partial_request(repo, branch));
    (needs.pod, needs.pipeline_run)
}

const LABEL: &str = "attest: {repo: 'caller.pod.labels.repo'}";
const PARAM: &str = "condition: 'caller.pipelineRun.params.x == \"\"'";

#[test]
fn attestations_of_all_policies_for_the_caller_are_needed() {
    assert_eq!(needs(LABEL, "ci", Some("site"), Some("main")), (true, false));
    assert_eq!(needs(LABEL, "ci", Some("other"), Some("other")), (true, false));
    assert_eq!(needs(LABEL, "ci", None, None), (true, false));
    assert_eq!(needs(LABEL, "cd", Some("site"), Some("main")), (false, false));
    assert_eq!(needs(&format!("effect: deny\n{LABEL}"), "ci", Some("other"), Some("main")), (true, false));
    assert_eq!(
        needs("attest: {branch: 'caller.pipelineRun.annotations.b'}", "ci", Some("x"), Some("y")),
        (false, true)
    );
}

#[test]
fn only_conditions_of_policies_that_could_match_are_needed() {
    assert_eq!(needs(PARAM, "ci", Some("site"), Some("main")), (false, true));
    assert_eq!(needs(PARAM, "ci", None, None), (false, true));
    assert_eq!(needs(PARAM, "ci", Some("site"), None), (false, true));
    assert_eq!(needs(PARAM, "ci", Some("other"), Some("main")), (false, false));
    assert_eq!(needs(PARAM, "ci", None, Some("other")), (false, false));
    assert_eq!(needs(PARAM, "cd", Some("site"), Some("main")), (false, false));
    assert_eq!(needs(&format!("effect: deny\n{PARAM}"), "ci", Some("site"), Some("main")), (false, true));
    assert_eq!(needs(&format!("{LABEL}\n{PARAM}"), "ci", Some("site"), Some("main")), (true, true));
    assert_eq!(needs(&format!("{LABEL}\n{PARAM}"), "ci", Some("other"), Some("main")), (true, false));
}

#[test]
fn expressions_without_facts_need_nothing() {
    for line in [
        "condition: 'caller.pod.name == caller.pod.uid'",
        "condition: 'caller.namespace == request.repo'",
        "attest: {repo: 'caller.claims.repository', branch: 'caller.serviceAccount'}",
        "",
    ] {
        assert_eq!(needs(line, "ci", Some("site"), Some("main")), (false, false), "{line}");
    }
    let set = PolicySet::new(vec![policy_with(LABEL)]);
    assert_eq!(
        set.needs(&oidc_caller("github", json!({})), &request_for("site", "main")),
        crate::model::facts::Needs::default()
    );
}
