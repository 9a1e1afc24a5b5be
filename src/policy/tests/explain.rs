//! Explanations: the result of each policy, and the part that does not match.

use super::{facts_with_labels, oidc_caller, partial_request, pod, policy, request_for};
use crate::model::facts::Facts;
use crate::policy::compiled_policy::MismatchKind;
use crate::policy::{ExplainedPolicy, Explanation, PolicySet};
use serde_json::json;

const BODY: &str = "
subjects: [{kubernetes: {namespaces: [ci], serviceAccounts: ['**']}}]
repos: [site]
branches: [main]
attest: {repo: 'caller.pod.labels.repo'}
condition: 'caller.pod.labels.tier == \"gold\"'
secrets: [{store: vault, path: a, keys: [A, 'B_*']}, {store: local, path: 'b/{branch}'}]
";

fn first_policy(explained: &Explanation) -> &ExplainedPolicy {
    explained.policies.first().expect("a policy")
}

#[test]
fn an_explanation_names_the_part_that_does_not_match() {
    let set = PolicySet::new(vec![policy("p", BODY)]);
    let good = facts_with_labels(&[("repo", "site"), ("tier", "gold")]);
    for (namespace, facts, repo, branch, failed_at, detail, reason) in [
        ("ci", &good, Some("site"), "main", None, None, "granted"),
        ("ci", &good, None, "main", None, None, "granted"),
        (
            "cd",
            &good,
            Some("site"),
            "main",
            Some(MismatchKind::Subjects),
            Some("no subject matches the caller"),
            "no_policy_matches",
        ),
        (
            "ci",
            &good,
            Some("shop"),
            "main",
            Some(MismatchKind::Repos),
            Some("no pattern matches"),
            "attestation_failed",
        ),
        (
            "ci",
            &good,
            Some("site"),
            "dev",
            Some(MismatchKind::Branches),
            Some("no pattern matches"),
            "no_policy_matches",
        ),
        (
            "ci",
            &facts_with_labels(&[("repo", "shop"), ("tier", "gold")]),
            Some("site"),
            "main",
            Some(MismatchKind::Attestation),
            Some("another repo is attested"),
            "attestation_failed",
        ),
        (
            "ci",
            &facts_with_labels(&[("tier", "gold")]),
            Some("site"),
            "main",
            Some(MismatchKind::Attestation),
            Some("the repo is not attested: it uses a value that does not exist"),
            "attestation_failed",
        ),
        (
            "ci",
            &facts_with_labels(&[("repo", "site"), ("tier", "lead")]),
            Some("site"),
            "main",
            Some(MismatchKind::Condition),
            Some("the condition is false"),
            "no_policy_matches",
        ),
        (
            "ci",
            &facts_with_labels(&[("repo", "site")]),
            Some("site"),
            "main",
            Some(MismatchKind::Condition),
            Some("the condition yields nothing: it uses a value that does not exist"),
            "no_policy_matches",
        ),
        (
            "ci",
            &facts_with_labels(&[]),
            None,
            "main",
            Some(MismatchKind::Repos),
            Some("it is neither asked for nor attested"),
            "repo_missing",
        ),
    ] {
        let explained = set.explain(&pod(namespace, "bot"), facts, &partial_request(repo, Some(branch)));
        let found = first_policy(&explained);
        assert_eq!((found.failed_at, found.detail.as_deref()), (failed_at, detail), "{facts:?} {repo:?}");
        assert_eq!((explained.reason, explained.allowed), (reason, reason == "granted"), "{facts:?} {repo:?}");
        assert_eq!((found.matched, &*found.name), (failed_at.is_none(), "p"));
        assert_eq!(explained.secrets.is_empty(), reason != "granted");
    }
}

#[test]
fn explained_secrets_have_their_key_patterns() {
    let set = PolicySet::new(vec![policy("p", BODY)]);
    let explained = set.explain(
        &pod("ci", "bot"),
        &facts_with_labels(&[("repo", "site"), ("tier", "gold")]),
        &request_for("site", "main"),
    );
    let secrets: Vec<_> = explained
        .secrets
        .iter()
        .map(|one| format!("{}:{} {}", one.secret.store, one.secret.path, one.keys.join(",")))
        .collect();
    assert_eq!(secrets, ["vault:a A,B_*", "local:b/main **"]);
}

#[test]
fn a_path_that_cannot_be_expanded_has_no_failed_part() {
    let text = "subjects: [{oidc: {issuer: github, claims: {o: acme}}}]\nrepos: ['**']\nbranches: ['**']\nsecrets: [{store: vault, path: 'a/{namespace}'}]";
    let set = PolicySet::new(vec![policy("p", text)]);
    let explained =
        set.explain(&oidc_caller("github", json!({"o": "acme"})), &Facts::default(), &request_for("r", "b"));
    let found = first_policy(&explained);
    assert_eq!((explained.reason, found.matched, found.failed_at), ("no_path_fits", false, None));
    assert_eq!(
        found.detail.as_deref(),
        Some("a path or write body cannot be expanded, or a path is outside the ceiling")
    );
}

#[test]
fn mismatch_kinds_have_the_values_of_the_api() {
    use MismatchKind::{Attestation, Branches, Condition, Repos, Subjects};
    let words = [Subjects, Repos, Branches, Attestation, Condition].map(MismatchKind::as_str);
    assert_eq!(words, ["subjects", "repos", "branches", "attestation", "condition"]);
}
