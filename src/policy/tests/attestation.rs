//! Attestation: attested values override those of the request, and a caller that cannot be attested is refused.

use super::{asks, asks_partly, bearer, decided, labelled, names, paths, pod, policy, run_with};
use crate::model::caller::Caller;
use crate::model::facts::Facts;
use crate::model::request::UnverifiedRequest;
use crate::policy::outcome::Part;
use crate::policy::{Decision, Denial, Policy};
use serde_json::json;

const ANYONE: &str = "subjects: [{kubernetes: {namespaces: ['**'], serviceAccounts: ['**']}}]\n";

/// An allow policy for all callers with additional lines; it reads the path that equals its name.
fn allow(name: &str, lines: &str) -> Policy {
    let patterns = if lines.contains("repos:") { "" } else { "repos: ['**']\nbranches: ['**']\n" };
    policy(name, &format!("{ANYONE}{patterns}{lines}\nsecrets: [{{store: vault, path: {name}}}]"))
}

fn deny(name: &str, lines: &str) -> Policy {
    let patterns = if lines.contains("repos:") { "" } else { "repos: ['**']\nbranches: ['**']\n" };
    policy(name, &format!("{ANYONE}effect: deny\n{patterns}{lines}"))
}

/// The result as a word, with the policies that caused it.
fn outcome(policies: Vec<Policy>, caller: &Caller, facts: &Facts, asked: &UnverifiedRequest) -> String {
    match decided(policies, caller, facts, asked) {
        Decision::Granted(grant) => {
            let request = &grant.request;
            format!("{}@{}: {}", request.repo, request.branch, paths(&grant).join(" "))
        }
        Decision::Denied(denial) => format!("{}: {}", denial.as_str(), names(denial.policies()).join(" ")),
        Decision::LeftOut(part) => part.missing().to_owned(),
    }
}

const BY_LABEL: &str = "attest: {repo: 'caller.pod.labels.repo', branch: 'caller.pod.labels.branch'}";
const REPO_BY_LABEL: &str = "attest: {repo: 'caller.pod.labels.repo'}";

fn site() -> Facts {
    labelled(&[("repo", "site"), ("branch", "main")])
}

#[test]
fn an_attested_request_must_say_what_is_attested() {
    for (repo, branch, expected) in [
        ("site", "main", "site@main: a"),
        ("site", "MAIN", "attestation_failed: a"),
        ("Site", "main", "attestation_failed: a"),
        ("shop", "main", "attestation_failed: a"),
        ("site", "main/x", "attestation_failed: a"),
        ("site", "m\u{430}in", "attestation_failed: a"),
    ] {
        let asked = asks(repo, branch);
        assert_eq!(outcome(vec![allow("a", BY_LABEL)], &pod("ci", "bot"), &site(), &asked), expected);
    }
}

#[test]
fn an_attestation_that_yields_nothing_valid_does_not_match() {
    let caller = pod("ci", "bot");
    for (attest, facts) in [
        (REPO_BY_LABEL, Facts::default()),
        (REPO_BY_LABEL, labelled(&[])),
        (REPO_BY_LABEL, labelled(&[("repo", "")])),
        (REPO_BY_LABEL, labelled(&[("repo", "../site")])),
        (REPO_BY_LABEL, labelled(&[("repo", "site ")])),
        ("attest: {branch: 'caller.pod.labels.branch'}", labelled(&[("branch", "a..b")])),
        ("attest: {branch: 'caller.pod.labels.branch'}", labelled(&[("branch", "-rf")])),
        ("attest: {repo: 'caller.pipelineRun.params.repo'}", run_with(json!({}))),
        ("attest: {repo: 'caller.pipelineRun.params.repo'}", run_with(json!({"repo": ["site"]}))),
        ("attest: {repo: 'caller.pipelineRun.params.repo'}", run_with(json!({"repo": null}))),
        ("attest: {repo: 'caller.claims.repo'}", Facts::default()),
        // Only one of two values is attested.
        (BY_LABEL, labelled(&[("repo", "site")])),
        (BY_LABEL, labelled(&[("branch", "main")])),
    ] {
        let outcome = outcome(vec![allow("a", attest)], &caller, &facts, &asks("site", "main"));
        assert_eq!(outcome, "attestation_failed: a", "{attest} {facts:?}");
    }
    let run = run_with(json!({"repo": "site"}));
    let by_param = vec![allow("a", "attest: {repo: 'caller.pipelineRun.params.repo'}")];
    assert_eq!(outcome(by_param, &caller, &run, &asks("site", "main")), "site@main: a");
}

#[test]
fn the_clusters_word_beats_the_callers_whatever_other_policies_say() {
    let lax = || allow("lax", "");
    let strict = || allow("strict", REPO_BY_LABEL);
    let caller = pod("ci", "bot");
    let ask = |policies, repo| outcome(policies, &caller, &site(), &asks(repo, "main"));
    assert_eq!(ask(vec![lax()], "shop"), "shop@main: lax");
    assert_eq!(ask(vec![lax(), strict()], "shop"), "attestation_failed: strict");
    assert_eq!(ask(vec![lax(), strict()], "site"), "site@main: lax strict");
    // The patterns of the attesting policy for repo and branch have no effect.
    let elsewhere = || allow("elsewhere", &format!("repos: [other]\nbranches: [other]\n{REPO_BY_LABEL}"));
    assert_eq!(ask(vec![lax(), elsewhere()], "shop"), "attestation_failed: elsewhere");
    assert_eq!(ask(vec![lax(), elsewhere()], "site"), "site@main: lax");
    // Neither do its effect and its condition.
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
fn only_policies_that_speak_of_the_caller_are_heard() {
    let elsewhere = policy(
        "elsewhere",
        &format!(
            "subjects: [{{kubernetes: {{namespaces: [prod], serviceAccounts: ['**']}}}}]\nrepos: ['**']\nbranches: ['**']\n{REPO_BY_LABEL}\nsecrets: [{{store: vault, path: x}}]"
        ),
    );
    let policies = vec![allow("lax", ""), elsewhere];
    assert_eq!(outcome(policies, &pod("ci", "bot"), &site(), &asks("shop", "main")), "shop@main: lax");
}

#[test]
fn an_absent_attestation_fails_only_where_nothing_else_allows() {
    let lax = || allow("lax", "repos: [shop]\nbranches: [main]");
    let strict = || allow("strict", &format!("repos: [other]\nbranches: [other]\n{REPO_BY_LABEL}"));
    let caller = pod("ci", "bot");
    let ask = |policies, repo| outcome(policies, &caller, &labelled(&[]), &asks(repo, "main"));
    assert_eq!(ask(vec![lax(), strict()], "shop"), "shop@main: lax");
    assert_eq!(ask(vec![lax(), strict()], "site"), "attestation_failed: strict");
    assert_eq!(ask(vec![lax()], "site"), "no_policy_matches: ");
    // A matching deny policy does not count as an allow.
    assert_eq!(ask(vec![deny("d", ""), strict()], "shop"), "attestation_failed: strict");
    assert_eq!(ask(vec![deny("d", ""), lax(), strict()], "shop"), "denied_by_policy: d");
    assert_eq!(ask(vec![deny("d", "")], "shop"), "denied_by_policy: d");
}

#[test]
fn what_is_left_out_becomes_what_is_attested() {
    let caller = pod("ci", "bot");
    let ask = |policies: Vec<Policy>, facts: &Facts, repo, branch| {
        outcome(policies, &caller, facts, &asks_partly(repo, branch))
    };
    let both = || vec![allow("a", BY_LABEL)];
    assert_eq!(ask(both(), &site(), None, None), "site@main: a");
    assert_eq!(ask(both(), &site(), Some("site"), None), "site@main: a");
    assert_eq!(ask(both(), &site(), None, Some("main")), "site@main: a");
    assert_eq!(ask(both(), &site(), None, Some("dev")), "attestation_failed: a");
    assert_eq!(ask(both(), &site(), Some("shop"), None), "attestation_failed: a");
    // All policies are evaluated with the attested value, including those that attest nothing.
    let one = allow("one", "repos: [site]\nbranches: [main]");
    let other = allow("other", "repos: [shop]\nbranches: [main]");
    assert_eq!(ask(vec![one, other, allow("z", BY_LABEL)], &site(), None, None), "site@main: one z");
    // The attesting policy itself does not have to match.
    let only_attests = allow("x", &format!("repos: [none]\nbranches: [none]\n{BY_LABEL}"));
    assert_eq!(ask(vec![allow("lax", ""), only_attests], &site(), None, None), "site@main: lax");
    // It does not have to be an allow policy.
    let denies = deny("d", &format!("repos: [none]\nbranches: [none]\n{BY_LABEL}"));
    assert_eq!(ask(vec![allow("lax", ""), denies], &site(), None, None), "site@main: lax");
}

#[test]
fn what_is_left_out_and_not_attested_is_missing() {
    let caller = pod("ci", "bot");
    let ask = |policies: Vec<Policy>, facts: &Facts, repo, branch| {
        outcome(policies, &caller, facts, &asks_partly(repo, branch))
    };
    assert_eq!(
        ask(vec![], &site(), None, Some("main")),
        "repo is missing, and no policy that names this caller attests it"
    );
    assert_eq!(
        ask(vec![allow("lax", "")], &site(), None, Some("main")),
        "repo is missing, and no policy that names this caller attests it"
    );
    assert_eq!(
        ask(vec![allow("lax", "")], &site(), Some("site"), None),
        "branch is missing, and no policy that names this caller attests it"
    );
    assert_eq!(
        ask(vec![allow("a", REPO_BY_LABEL)], &site(), None, None),
        "branch is missing, and no policy that names this caller attests it"
    );
    assert_eq!(ask(vec![allow("a", REPO_BY_LABEL)], &site(), None, Some("main")), "site@main: a");
    assert_eq!(
        ask(vec![allow("a", BY_LABEL)], &labelled(&[]), None, None),
        "repo is missing, and no policy that names this caller attests it"
    );
    assert_eq!(
        ask(vec![deny("d", "")], &site(), None, None),
        "repo is missing, and no policy that names this caller attests it"
    );
    let decision = decided(vec![], &caller, &site(), &asks_partly(Some("site"), None));
    assert!(matches!(decision, Decision::LeftOut(Part::Branch)));
}

#[test]
fn two_words_of_the_cluster_that_differ_are_none() {
    let caller = pod("ci", "bot");
    let facts = labelled(&[("repo", "site"), ("other", "shop")]);
    let one = || allow("one", REPO_BY_LABEL);
    let other = || allow("other", "attest: {repo: 'caller.pod.labels.other'}");
    let left_out = asks_partly(None, Some("main"));
    assert_eq!(outcome(vec![one()], &caller, &facts, &left_out), "site@main: one");
    assert_eq!(outcome(vec![one(), other()], &caller, &facts, &left_out), "attestation_failed: other");
    assert_eq!(outcome(vec![one(), other()], &caller, &facts, &asks("site", "main")), "attestation_failed: other");
    // An absent value does not contradict, but its policy does not match.
    let absent = allow("z", "attest: {repo: 'caller.pod.labels.none'}");
    assert_eq!(outcome(vec![one(), absent], &caller, &facts, &left_out), "site@main: one");
}

#[test]
fn a_deny_policy_fails_closed() {
    let caller = pod("ci", "bot");
    let lax = || allow("lax", "");
    let ask =
        |lines: &str, facts: &Facts| outcome(vec![lax(), deny("d", lines)], &caller, facts, &asks("site", "main"));
    let narrow = "repos: [site]\nbranches: [main]\n";
    // For an attested, absent, wrongly typed or invalid value the deny policy matches, unless its patterns do not.
    for facts in [site(), labelled(&[]), Facts::default(), labelled(&[("repo", "a:b")])] {
        assert_eq!(ask(&format!("{narrow}{REPO_BY_LABEL}"), &facts), "denied_by_policy: d", "{facts:?}");
        assert_eq!(
            ask(&format!("repos: [shop]\nbranches: [main]\n{REPO_BY_LABEL}"), &facts),
            "site@main: lax",
            "{facts:?}"
        );
    }
    // A deny policy applies to an attested value that the request omits.
    let policies = vec![allow("lax", ""), deny("d", &format!("{narrow}{BY_LABEL}"))];
    assert_eq!(outcome(policies, &caller, &site(), &asks_partly(None, None)), "denied_by_policy: d");
}

#[test]
fn bearers_attest_with_claims() {
    let text = "subjects: [{oidc: {issuer: github, claims: {repository_owner_id: '4711'}}}]
repos: ['acme/*']
branches: ['**']
attest: {repo: 'caller.claims.repository', branch: 'caller.claims.ref.startsWith(\"refs/heads/\") ? caller.claims.ref.substring(11) : \"\"'}
secrets: [{store: vault, path: a}]";
    let policies = || vec![policy("p", text)];
    let claims = |reference: &str| json!({"repository_owner_id": "4711", "repository": "acme/site", "ref": reference});
    let none = Facts::default();
    let left_out = asks_partly(None, None);
    let main = bearer("github", claims("refs/heads/main"));
    assert_eq!(outcome(policies(), &main, &none, &left_out), "acme/site@main: a");
    assert_eq!(outcome(policies(), &main, &none, &asks("acme/site", "main")), "acme/site@main: a");
    assert_eq!(outcome(policies(), &main, &none, &asks("acme/shop", "main")), "attestation_failed: p");
    let tag = bearer("github", claims("refs/tags/v1"));
    assert_eq!(
        outcome(policies(), &tag, &none, &left_out),
        "branch is missing, and no policy that names this caller attests it"
    );
    assert_eq!(outcome(policies(), &tag, &none, &asks("acme/site", "v1")), "attestation_failed: p");
    // A pod has no claims, and the holder of an OIDC token has no pod.
    assert_eq!(
        outcome(
            vec![allow("a", "attest: {repo: 'caller.claims.repository'}")],
            &pod("ci", "bot"),
            &none,
            &asks("a", "b")
        ),
        "attestation_failed: a"
    );
    let of_pods = text.replace("caller.claims.repository'", "caller.namespace'");
    assert_eq!(
        outcome(vec![policy("p", &of_pods)], &main, &site(), &asks("acme/site", "main")),
        "attestation_failed: p"
    );
}

#[test]
fn the_denial_names_the_policies_it_is_owed_to() {
    let policies = vec![allow("b", REPO_BY_LABEL), allow("a", REPO_BY_LABEL), allow("c", "")];
    let Decision::Denied(denial) = decided(policies, &pod("ci", "bot"), &site(), &asks("shop", "main")) else {
        panic!("granted")
    };
    assert!(matches!(&denial, Denial::AttestationFailed(policies) if names(policies) == ["a", "b"]), "{denial:?}");
}
