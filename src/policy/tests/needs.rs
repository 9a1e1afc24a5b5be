//! Only the facts that an evaluated expression uses are looked up.

use super::{asks, asks_partly, bearer, pod, policy};
use crate::policy::{Policy, PolicySet};
use serde_json::json;

fn of(lines: &str) -> Policy {
    let patterns = if lines.contains("repos:") { "" } else { "repos: [site]\nbranches: [main]\n" };
    let subjects = "subjects: [{kubernetes: {namespaces: ['ci'], serviceAccounts: ['bot']}}]\n";
    let secrets = if lines.contains("deny") { "" } else { "\nsecrets: [{store: vault, path: a}]" };
    policy("p", &format!("{subjects}{patterns}{lines}{secrets}"))
}

fn needs(lines: &str, namespace: &str, repo: Option<&str>, branch: Option<&str>) -> (bool, bool) {
    let needs = PolicySet::new(vec![of(lines)]).needs(&pod(namespace, "bot"), &asks_partly(repo, branch));
    (needs.pod, needs.pipeline_run)
}

const LABEL: &str = "attest: {repo: 'caller.pod.labels.repo'}";
const PARAM: &str = "condition: 'caller.pipelineRun.params.x == \"\"'";

#[test]
fn attestations_of_every_policy_that_speaks_of_the_caller() {
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
fn conditions_only_of_those_that_could_fit() {
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
fn what_is_known_already_needs_nothing() {
    for line in [
        "condition: 'caller.pod.name == caller.pod.uid'",
        "condition: 'caller.namespace == request.repo'",
        "attest: {repo: 'caller.claims.repository', branch: 'caller.serviceAccount'}",
        "",
    ] {
        assert_eq!(needs(line, "ci", Some("site"), Some("main")), (false, false), "{line}");
    }
    let set = PolicySet::new(vec![of(LABEL)]);
    assert_eq!(set.needs(&bearer("github", json!({})), &asks("site", "main")), crate::model::facts::Needs::default());
}
