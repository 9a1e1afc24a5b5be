//! Attestation: a request that contradicts an attested value is refused, and an omitted repo or branch gets the attested value.

use super::{
    decide, facts_with_labels, facts_with_params, names, oidc_caller, partial_request, paths, pod, policy, request_for,
};
use crate::model::caller::Caller;
use crate::model::facts::Facts;
use crate::model::request::UnverifiedRequest;
use crate::policy::outcome::RequestPart;
use crate::policy::{Decision, Denial, Policy};
use serde_json::json;

const ANY_POD: &str = "subjects: [{kubernetes: {namespaces: ['**'], serviceAccounts: ['**']}}]\n";

/// An allow policy for all pods, with `lines` added to its spec. The path of its only secret is its name.
fn allow(name: &str, lines: &str) -> Policy {
    let patterns = if lines.contains("repos:") { "" } else { "repos: ['**']\nbranches: ['**']\n" };
    policy(name, &format!("{ANY_POD}{patterns}{lines}\nsecrets: [{{store: vault, path: {name}}}]"))
}

/// A deny policy for all pods, with `lines` added to its spec.
fn deny(name: &str, lines: &str) -> Policy {
    let patterns = if lines.contains("repos:") { "" } else { "repos: ['**']\nbranches: ['**']\n" };
    policy(name, &format!("{ANY_POD}effect: deny\n{patterns}{lines}"))
}

/// The result as text, with the policies that caused it.
fn outcome(policies: Vec<Policy>, caller: &Caller, facts: &Facts, request: &UnverifiedRequest) -> String {
    match decide(policies, caller, facts, request) {
        Decision::Granted(grant) => {
            let request = &grant.request;
            format!("{}@{}: {}", request.repo, request.branch, paths(&grant).join(" "))
        }
        Decision::Denied(denial) => format!("{}: {}", denial.as_str(), names(denial.policies()).join(" ")),
        Decision::PartMissing(part) => part.missing_message().to_owned(),
    }
}

const BY_LABEL: &str = "attest: {repo: 'caller.pod.labels.repo', branch: 'caller.pod.labels.branch'}";
const REPO_BY_LABEL: &str = "attest: {repo: 'caller.pod.labels.repo'}";

/// Facts that attest the repo `site` and the branch `main`.
fn site_facts() -> Facts {
    facts_with_labels(&[("repo", "site"), ("branch", "main")])
}

#[test]
fn a_request_must_equal_the_attested_values() {
    for (repo, branch, expected) in [
        ("site", "main", "site@main: a"),
        ("site", "MAIN", "attestation_failed: a"),
        ("Site", "main", "attestation_failed: a"),
        ("shop", "main", "attestation_failed: a"),
        ("site", "main/x", "attestation_failed: a"),
        ("site", "m\u{430}in", "attestation_failed: a"),
    ] {
        let request = request_for(repo, branch);
        assert_eq!(outcome(vec![allow("a", BY_LABEL)], &pod("ci", "bot"), &site_facts(), &request), expected);
    }
}

#[test]
fn an_attestation_without_a_valid_value_does_not_match() {
    let caller = pod("ci", "bot");
    for (attest, facts) in [
        (REPO_BY_LABEL, Facts::default()),
        (REPO_BY_LABEL, facts_with_labels(&[])),
        (REPO_BY_LABEL, facts_with_labels(&[("repo", "")])),
        (REPO_BY_LABEL, facts_with_labels(&[("repo", "../site")])),
        (REPO_BY_LABEL, facts_with_labels(&[("repo", "site ")])),
        ("attest: {branch: 'caller.pod.labels.branch'}", facts_with_labels(&[("branch", "a..b")])),
        ("attest: {branch: 'caller.pod.labels.branch'}", facts_with_labels(&[("branch", "-rf")])),
        ("attest: {repo: 'caller.pipelineRun.params.repo'}", facts_with_params(json!({}))),
        ("attest: {repo: 'caller.pipelineRun.params.repo'}", facts_with_params(json!({"repo": ["site"]}))),
        ("attest: {repo: 'caller.pipelineRun.params.repo'}", facts_with_params(json!({"repo": null}))),
        ("attest: {repo: 'caller.claims.repo'}", Facts::default()),
        // Only one of the two expressions yields a value.
        (BY_LABEL, facts_with_labels(&[("repo", "site")])),
        (BY_LABEL, facts_with_labels(&[("branch", "main")])),
    ] {
        let outcome = outcome(vec![allow("a", attest)], &caller, &facts, &request_for("site", "main"));
        assert_eq!(outcome, "attestation_failed: a", "{attest} {facts:?}");
    }
    let run = facts_with_params(json!({"repo": "site"}));
    let by_param = vec![allow("a", "attest: {repo: 'caller.pipelineRun.params.repo'}")];
    assert_eq!(outcome(by_param, &caller, &run, &request_for("site", "main")), "site@main: a");
}

#[test]
fn a_contradicting_attestation_denies_regardless_of_other_policies() {
    let lax = || allow("lax", "");
    let strict = || allow("strict", REPO_BY_LABEL);
    let caller = pod("ci", "bot");
    let ask = |policies, repo| outcome(policies, &caller, &site_facts(), &request_for(repo, "main"));
    assert_eq!(ask(vec![lax()], "shop"), "shop@main: lax");
    assert_eq!(ask(vec![lax(), strict()], "shop"), "attestation_failed: strict");
    assert_eq!(ask(vec![lax(), strict()], "site"), "site@main: lax strict");
    // A contradiction denies even if the patterns of the attesting policy do not match, if it is a deny policy, or if its condition
    // is false.
    let elsewhere = || allow("elsewhere", &format!("repos: [other]\nbranches: [other]\n{REPO_BY_LABEL}"));
    assert_eq!(ask(vec![lax(), elsewhere()], "shop"), "attestation_failed: elsewhere");
    assert_eq!(ask(vec![lax(), elsewhere()], "site"), "site@main: lax");
    assert_eq!(
        ask(vec![lax(), deny("d", &format!("repos: [other]\nbranches: [other]\n{REPO_BY_LABEL}"))], "shop"),
        "attestation_failed: d"
    );
    assert_eq!(
        ask(vec![lax(), allow("c", &format!("{REPO_BY_LABEL}\ncondition: 'false'"))], "shop"),
        "attestation_failed: c"
    );
    // A contradicting attestation is reported even if a deny policy matches.
    assert_eq!(ask(vec![deny("d", ""), strict()], "shop"), "attestation_failed: strict");
    assert_eq!(ask(vec![deny("d", ""), strict()], "site"), "denied_by_policy: d");
}

#[test]
fn attestations_for_other_callers_are_ignored() {
    let elsewhere = policy(
        "elsewhere",
        &format!(
            "subjects: [{{kubernetes: {{namespaces: [prod], serviceAccounts: ['**']}}}}]\nrepos: ['**']\nbranches: ['**']\n{REPO_BY_LABEL}\nsecrets: [{{store: vault, path: x}}]"
        ),
    );
    let policies = vec![allow("lax", ""), elsewhere];
    assert_eq!(outcome(policies, &pod("ci", "bot"), &site_facts(), &request_for("shop", "main")), "shop@main: lax");
}

#[test]
fn a_missing_attested_value_denies_only_if_no_other_policy_allows() {
    let lax = || allow("lax", "repos: [shop]\nbranches: [main]");
    let strict = || allow("strict", &format!("repos: [other]\nbranches: [other]\n{REPO_BY_LABEL}"));
    let caller = pod("ci", "bot");
    let ask = |policies, repo| outcome(policies, &caller, &facts_with_labels(&[]), &request_for(repo, "main"));
    assert_eq!(ask(vec![lax(), strict()], "shop"), "shop@main: lax");
    assert_eq!(ask(vec![lax(), strict()], "site"), "attestation_failed: strict");
    assert_eq!(ask(vec![lax()], "site"), "no_policy_matches: ");
    // A matching deny policy does not allow the request.
    assert_eq!(ask(vec![deny("d", ""), strict()], "shop"), "attestation_failed: strict");
    assert_eq!(ask(vec![deny("d", ""), lax(), strict()], "shop"), "denied_by_policy: d");
    assert_eq!(ask(vec![deny("d", "")], "shop"), "denied_by_policy: d");
}

#[test]
fn omitted_parts_get_the_attested_values() {
    let caller = pod("ci", "bot");
    let ask = |policies: Vec<Policy>, facts: &Facts, repo, branch| {
        outcome(policies, &caller, facts, &partial_request(repo, branch))
    };
    let both = || vec![allow("a", BY_LABEL)];
    assert_eq!(ask(both(), &site_facts(), None, None), "site@main: a");
    assert_eq!(ask(both(), &site_facts(), Some("site"), None), "site@main: a");
    assert_eq!(ask(both(), &site_facts(), None, Some("main")), "site@main: a");
    assert_eq!(ask(both(), &site_facts(), None, Some("dev")), "attestation_failed: a");
    assert_eq!(ask(both(), &site_facts(), Some("shop"), None), "attestation_failed: a");
    // All policies are evaluated with the attested value, including those that attest nothing.
    let one = allow("one", "repos: [site]\nbranches: [main]");
    let other = allow("other", "repos: [shop]\nbranches: [main]");
    assert_eq!(ask(vec![one, other, allow("z", BY_LABEL)], &site_facts(), None, None), "site@main: one z");
    // The attesting policy itself does not have to match.
    let only_attests = allow("x", &format!("repos: [none]\nbranches: [none]\n{BY_LABEL}"));
    assert_eq!(ask(vec![allow("lax", ""), only_attests], &site_facts(), None, None), "site@main: lax");
    // The attesting policy does not have to be an allow policy.
    let denies = deny("d", &format!("repos: [none]\nbranches: [none]\n{BY_LABEL}"));
    assert_eq!(ask(vec![allow("lax", ""), denies], &site_facts(), None, None), "site@main: lax");
}

#[test]
fn omitted_parts_without_attestation_are_missing() {
    let caller = pod("ci", "bot");
    let ask = |policies: Vec<Policy>, facts: &Facts, repo, branch| {
        outcome(policies, &caller, facts, &partial_request(repo, branch))
    };
    assert_eq!(
        ask(vec![], &site_facts(), None, Some("main")),
        "repo is missing, and no policy that names this caller attests it"
    );
    assert_eq!(
        ask(vec![allow("lax", "")], &site_facts(), None, Some("main")),
        "repo is missing, and no policy that names this caller attests it"
    );
    assert_eq!(
        ask(vec![allow("lax", "")], &site_facts(), Some("site"), None),
        "branch is missing, and no policy that names this caller attests it"
    );
    assert_eq!(
        ask(vec![allow("a", REPO_BY_LABEL)], &site_facts(), None, None),
        "branch is missing, and no policy that names this caller attests it"
    );
    assert_eq!(ask(vec![allow("a", REPO_BY_LABEL)], &site_facts(), None, Some("main")), "site@main: a");
    assert_eq!(
        ask(vec![allow("a", BY_LABEL)], &facts_with_labels(&[]), None, None),
        "repo is missing, and no policy that names this caller attests it"
    );
    assert_eq!(
        ask(vec![deny("d", "")], &site_facts(), None, None),
        "repo is missing, and no policy that names this caller attests it"
    );
    let decision = decide(vec![], &caller, &site_facts(), &partial_request(Some("site"), None));
    assert!(matches!(decision, Decision::PartMissing(RequestPart::Branch)));
}

#[test]
fn attestations_that_contradict_each_other_deny() {
    let caller = pod("ci", "bot");
    let facts = facts_with_labels(&[("repo", "site"), ("other", "shop")]);
    let one = || allow("one", REPO_BY_LABEL);
    let other = || allow("other", "attest: {repo: 'caller.pod.labels.other'}");
    let without_repo = partial_request(None, Some("main"));
    assert_eq!(outcome(vec![one()], &caller, &facts, &without_repo), "site@main: one");
    assert_eq!(outcome(vec![one(), other()], &caller, &facts, &without_repo), "attestation_failed: other");
    assert_eq!(
        outcome(vec![one(), other()], &caller, &facts, &request_for("site", "main")),
        "attestation_failed: other"
    );
    // An attestation without a value contradicts nothing, but its policy does not match.
    let absent = allow("z", "attest: {repo: 'caller.pod.labels.none'}");
    assert_eq!(outcome(vec![one(), absent], &caller, &facts, &without_repo), "site@main: one");
}

#[test]
fn a_deny_policy_matches_if_its_attestation_fails() {
    let caller = pod("ci", "bot");
    let lax = || allow("lax", "");
    let ask = |lines: &str, facts: &Facts| {
        outcome(vec![lax(), deny("d", lines)], &caller, facts, &request_for("site", "main"))
    };
    let narrow = "repos: [site]\nbranches: [main]\n";
    // The deny policy matches if its patterns match: with an attested value, and without a valid one.
    for facts in [site_facts(), facts_with_labels(&[]), Facts::default(), facts_with_labels(&[("repo", "a:b")])] {
        assert_eq!(ask(&format!("{narrow}{REPO_BY_LABEL}"), &facts), "denied_by_policy: d", "{facts:?}");
        assert_eq!(
            ask(&format!("repos: [shop]\nbranches: [main]\n{REPO_BY_LABEL}"), &facts),
            "site@main: lax",
            "{facts:?}"
        );
    }
    // A deny policy applies to an attested value that the request omits.
    let policies = vec![allow("lax", ""), deny("d", &format!("{narrow}{BY_LABEL}"))];
    assert_eq!(outcome(policies, &caller, &site_facts(), &partial_request(None, None)), "denied_by_policy: d");
}

#[test]
fn oidc_callers_are_attested_by_claims() {
    let text = "subjects: [{oidc: {issuer: github, claims: {repository_owner_id: '4711'}}}]
repos: ['acme/*']
branches: ['**']
attest: {repo: 'caller.claims.repository', branch: 'caller.claims.ref.startsWith(\"refs/heads/\") ? caller.claims.ref.substring(11) : \"\"'}
secrets: [{store: vault, path: a}]";
    let policies = || vec![policy("p", text)];
    let claims = |reference: &str| json!({"repository_owner_id": "4711", "repository": "acme/site", "ref": reference});
    let none = Facts::default();
    let without_repo = partial_request(None, None);
    let main = oidc_caller("github", claims("refs/heads/main"));
    assert_eq!(outcome(policies(), &main, &none, &without_repo), "acme/site@main: a");
    assert_eq!(outcome(policies(), &main, &none, &request_for("acme/site", "main")), "acme/site@main: a");
    assert_eq!(outcome(policies(), &main, &none, &request_for("acme/shop", "main")), "attestation_failed: p");
    let tag = oidc_caller("github", claims("refs/tags/v1"));
    assert_eq!(
        outcome(policies(), &tag, &none, &without_repo),
        "branch is missing, and no policy that names this caller attests it"
    );
    assert_eq!(outcome(policies(), &tag, &none, &request_for("acme/site", "v1")), "attestation_failed: p");
    // A pod has no claims, and the holder of an OIDC token has no pod.
    assert_eq!(
        outcome(
            vec![allow("a", "attest: {repo: 'caller.claims.repository'}")],
            &pod("ci", "bot"),
            &none,
            &request_for("a", "b")
        ),
        "attestation_failed: a"
    );
    let attested_by_namespace = text.replace("caller.claims.repository'", "caller.namespace'");
    assert_eq!(
        outcome(vec![policy("p", &attested_by_namespace)], &main, &site_facts(), &request_for("acme/site", "main")),
        "attestation_failed: p"
    );
}

#[test]
fn the_denial_names_the_contradicting_policies() {
    let policies = vec![allow("b", REPO_BY_LABEL), allow("a", REPO_BY_LABEL), allow("c", "")];
    let Decision::Denied(denial) = decide(policies, &pod("ci", "bot"), &site_facts(), &request_for("shop", "main"))
    else {
        panic!("granted")
    };
    assert!(matches!(&denial, Denial::AttestationFailed(policies) if names(policies) == ["a", "b"]), "{denial:?}");
}
