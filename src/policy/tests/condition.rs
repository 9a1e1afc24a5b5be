//! Conditions. If the evaluation fails, an allow policy does not match, and a deny policy does.

use super::{decide, facts_with_labels, partial_request, paths, pod, policy, request_for};
use crate::model::facts::Facts;
use crate::policy::{Decision, Policy};

const ANY_POD: &str =
    "subjects: [{kubernetes: {namespaces: ['**'], serviceAccounts: ['**']}}]\nrepos: ['**']\nbranches: ['**']\n";

fn allow(name: &str, condition: &str) -> Policy {
    policy(name, &format!("{ANY_POD}condition: {condition:?}\nsecrets: [{{store: vault, path: {name}}}]"))
}

fn deny(name: &str, condition: &str) -> Policy {
    policy(name, &format!("{ANY_POD}effect: deny\ncondition: {condition:?}"))
}

fn outcome(policies: Vec<Policy>, facts: &Facts) -> String {
    match decide(policies, &pod("sandbox-1", "bot"), facts, &request_for("site", "main")) {
        Decision::Granted(grant) => paths(&grant).join(" "),
        Decision::Denied(denial) => denial.as_str().to_owned(),
        Decision::PartMissing(part) => part.missing_message().to_owned(),
    }
}

/// A condition; whether an allow policy with it matches; whether a deny policy with it matches.
const CONDITIONS: &[(&str, bool, bool)] = &[
    ("true", true, true),
    ("false", false, false),
    ("caller.namespace.startsWith('sandbox-')", true, true),
    ("!caller.namespace.startsWith('sandbox-')", false, false),
    ("request.branch == 'main' && request.repo == 'site'", true, true),
    ("request.branch == 'Main'", false, false),
    ("request.sourceIp == '192.0.2.7'", true, true),
    ("request.time.getDayOfWeek() in [1, 2, 3, 4, 5]", true, true),
    ("request.time.getHours() < 14", false, false),
    ("caller.pod.labels.tier == 'gold'", true, true),
    ("caller.pod.labels.tier == 'lead'", false, false),
    // Errors.
    ("caller.pod.labels.missing == 'gold'", false, true),
    ("caller.pod.ip == ''", false, true),
    ("caller.pipelineRun.name == 'x'", false, true),
    ("caller.claims.any == 'x'", false, true),
    ("int(caller.namespace) == 1", false, true),
    ("1 / (size(request.repo) - 4) == 1", false, true),
    // Results that are not booleans.
    ("true ? caller.pod.labels.tier : false", false, true),
    // Evaluation beyond the limit of steps.
    (
        "'x'.split('y').map(a, a + a).map(a, [a, a, a].map(b, [b, b, b].map(c, [c].map(d, d + d + d + d)))).size() > 0 && [1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, a + b + c + d > 0))))",
        false,
        true,
    ),
];

#[test]
fn a_failing_condition_is_false_in_an_allow_policy_and_true_in_a_deny_policy() {
    let facts = facts_with_labels(&[("tier", "gold")]);
    for (condition, allows, denies) in CONDITIONS {
        let expected = if *allows { "a" } else { "no_policy_matches" };
        assert_eq!(outcome(vec![allow("a", condition)], &facts), expected, "allow {condition}");
        let expected = if *denies { "denied_by_policy" } else { "lax" };
        assert_eq!(outcome(vec![allow("lax", "true"), deny("d", condition)], &facts), expected, "deny {condition}");
    }
}

#[test]
fn a_missing_condition_counts_as_true() {
    let bare = policy("a", &format!("{ANY_POD}secrets: [{{store: vault, path: a}}]"));
    assert_eq!(outcome(vec![bare], &Facts::default()), outcome(vec![allow("a", "true")], &Facts::default()));
}

#[test]
fn a_condition_has_the_attested_values_of_omitted_parts() {
    let attest = "attest: {repo: 'caller.pod.labels.repo', branch: 'caller.pod.labels.branch'}";
    let text =
        |condition: &str| format!("{ANY_POD}{attest}\ncondition: {condition:?}\nsecrets: [{{store: vault, path: a}}]");
    let facts = facts_with_labels(&[("repo", "site"), ("branch", "main")]);
    for (condition, matches) in
        [("request.repo + request.branch == 'sitemain'", true), ("request.repo == 'shop'", false)]
    {
        let decision =
            decide(vec![policy("a", &text(condition))], &pod("ci", "bot"), &facts, &partial_request(None, None));
        assert_eq!(matches!(decision, Decision::Granted(_)), matches, "{condition}");
    }
}
