//! Shadow mode: a policy with `mode: audit` does not change decisions; what it would change is computed.

use super::{expect_grant, facts_with_labels, facts_with_params, names, partial_request, pod, policy, request_for};
use crate::model::caller::Caller;
use crate::model::facts::{Facts, Needs};
use crate::model::request::UnverifiedRequest;
use crate::model::shadow::ShadowOutcome;
use crate::policy::compiled_policy::MismatchKind;
use crate::policy::outcome::AllowedDeliveries;
use crate::policy::{Decision, ExplainedPolicy, Policy, PolicySet};
use serde_json::json;

const ANY_POD: &str = "subjects: [{kubernetes: {namespaces: ['**'], serviceAccounts: ['**']}}]\nbranches: ['**']\n";

fn allow(name: &str, lines: &str) -> Policy {
    let repos = if lines.contains("repos:") { "" } else { "repos: ['**']\n" };
    policy(name, &format!("{ANY_POD}{repos}{lines}\nsecrets: [{{store: vault, path: '{name}/{{repo}}'}}]"))
}

fn deny(name: &str, lines: &str) -> Policy {
    let repos = if lines.contains("repos:") { "" } else { "repos: ['**']\n" };
    policy(name, &format!("{ANY_POD}effect: deny\n{repos}{lines}"))
}

/// What each matching policy in shadow mode would change for a request that needs a ticket, as text.
fn evaluate_shadows(policies: Vec<Policy>, facts: &Facts, request: &UnverifiedRequest) -> String {
    let set = PolicySet::new(policies);
    let caller = pod("ci", "bot");
    let Some(shadows) = set.shadow_policies(&caller, request) else { return "no shadow policies".into() };
    let verdicts = shadows.evaluate(&caller, facts, request, &|delivery: AllowedDeliveries| delivery.ticket);
    let shown = verdicts.iter().map(|verdict| {
        format!("{} {} {}", verdict.policy, if verdict.denies { "deny" } else { "allow" }, verdict.outcome.as_str())
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn evaluate_for_site(policies: Vec<Policy>) -> String {
    evaluate_shadows(policies, &Facts::default(), &request_for("site", "main"))
}

#[test]
fn a_shadow_deny_would_deny_only_allowed_requests() {
    assert_eq!(evaluate_for_site(vec![allow("a", ""), deny("d", "mode: audit")]), "d deny would_deny");
    assert_eq!(evaluate_for_site(vec![deny("d", "mode: audit")]), "d deny no_change");
    assert_eq!(evaluate_for_site(vec![allow("a", ""), deny("b", ""), deny("d", "mode: audit")]), "d deny no_change");
    // Policies that do not match are omitted, and so are enforced ones.
    assert_eq!(evaluate_for_site(vec![allow("a", ""), deny("d", "mode: audit\nrepos: [shop]")]), "no shadow policies");
    assert_eq!(evaluate_for_site(vec![allow("a", ""), deny("d", "mode: audit\ncondition: 'false'")]), "");
    assert_eq!(evaluate_for_site(vec![allow("a", ""), deny("d", "mode: enforce")]), "no shadow policies");
}

#[test]
fn a_shadow_allow_would_allow_or_add_secrets() {
    assert_eq!(evaluate_for_site(vec![allow("a", "mode: audit")]), "a allow would_allow");
    assert_eq!(evaluate_for_site(vec![allow("a", "mode: audit"), deny("d", "")]), "a allow no_change");
    assert_eq!(evaluate_for_site(vec![allow("a", ""), allow("b", "mode: audit")]), "b allow would_allow");
    // `b` grants the same secret with a shorter ticket lifetime: the bundle does not change.
    let same = |name: &str, lines: &str| {
        policy(name, &format!("{ANY_POD}repos: ['**']\n{lines}\nsecrets: [{{store: vault, path: a/b}}]"))
    };
    assert_eq!(
        evaluate_for_site(vec![same("a", ""), same("b", "mode: audit\nticket: {ttl: 1m}")]),
        "b allow no_change"
    );
    // Two policies are evaluated independently.
    let two = vec![allow("a", "mode: audit"), deny("d", "mode: audit")];
    assert_eq!(evaluate_for_site(two), "a allow would_allow, d deny no_change");
    // A delivery must be allowed by all matching policies. `a` allows only tickets (the default), and `b` only `direct`.
    let direct = vec![allow("a", ""), allow("b", "mode: audit\ndelivery: [direct]")];
    assert_eq!(evaluate_for_site(direct), "b allow would_deny");
}

#[test]
fn a_shadow_attestation_has_no_effect_but_is_evaluated() {
    let by_label = "attest: {repo: 'caller.pod.labels.repo'}";
    let shop = facts_with_labels(&[("repo", "shop")]);
    let shadow = || vec![allow("a", ""), allow("b", &format!("mode: audit\n{by_label}"))];
    let enforced = || vec![allow("a", ""), allow("b", by_label)];
    let caller = pod("ci", "bot");
    let decided =
        |policies, facts: &Facts| PolicySet::new(policies).decide(&caller, facts, &request_for("site", "main"));
    assert!(matches!(decided(shadow(), &shop), Decision::Granted(grant) if names(&grant.policies) == ["a"]));
    assert!(matches!(decided(enforced(), &shop), Decision::Denied(denial) if denial.as_str() == "attestation_failed"));
    assert_eq!(evaluate_shadows(shadow(), &shop, &request_for("site", "main")), "b allow would_deny");
    assert_eq!(
        evaluate_shadows(shadow(), &facts_with_labels(&[("repo", "site")]), &request_for("site", "main")),
        "b allow would_allow"
    );
    // A policy in shadow mode attests no repo for a request that omits it.
    let request = partial_request(None, Some("main"));
    let only_b = || vec![allow("b", &format!("mode: audit\n{by_label}"))];
    assert!(matches!(PolicySet::new(only_b()).decide(&caller, &shop, &request), Decision::PartMissing(_)));
    assert_eq!(evaluate_shadows(only_b(), &shop, &request), "b allow would_allow");
}

#[test]
fn decisions_ignore_the_secrets_and_facts_of_shadow_policies() {
    let run = "mode: audit\ncondition: 'caller.pipelineRun.params.repo == \"site\"'";
    let policies =
        || vec![allow("a", ""), allow("b", run), allow("c", "mode: audit\nattest: {repo: 'caller.pod.node'}")];
    let (caller, request) = (pod("ci", "bot"), request_for("site", "main"));
    let grant = expect_grant(policies(), &caller, &request);
    assert_eq!((names(&grant.policies), grant.secrets.len()), (vec!["a"], 1));
    let set = PolicySet::new(policies());
    assert_eq!(set.needs(&caller, &request), Needs::NOTHING);
    let shadows = set.shadow_policies(&caller, &request).expect("two");
    assert_eq!(shadows.needs(), Needs::POD.union(Needs::PIPELINE_RUN));
    assert!(set.get("b").is_some_and(|policy| policy.is_shadow()) && set.get("d").is_none());
    // For a caller that no policy in shadow mode has as a subject, none is evaluated.
    let oidc_caller = Caller { issuer: "github".into(), workload: None, ..caller };
    assert!(set.shadow_policies(&oidc_caller, &request).is_none());
    let facts = facts_with_params(json!({"repo": "site"}));
    assert_eq!(evaluate_shadows(policies(), &facts, &request), "b allow would_allow");
    assert!(set.policies().iter().filter(|policy| policy.is_shadow()).all(|policy| policy.paths().is_empty()));
}

#[test]
fn an_explanation_marks_shadow_policies() {
    let set = PolicySet::new(vec![allow("a", ""), deny("d", "mode: audit"), deny("e", "mode: audit\nrepos: [shop]")]);
    let explained = set.explain(&pod("ci", "bot"), &Facts::default(), &request_for("site", "main"));
    assert!(explained.allowed);
    let shown: Vec<_> = explained
        .policies
        .iter()
        .map(|one| {
            (&*one.name, one.matched, one.failed_at.map(MismatchKind::as_str), one.shadow.map(ShadowOutcome::as_str))
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("a", true, None, None),
            ("d", true, None, Some("would_deny")),
            ("e", false, Some("repos"), Some("no_change")),
        ]
    );
}

#[test]
fn at_most_100_shadow_policies_are_evaluated() {
    let mut policies: Vec<Policy> = (0..150).map(|n| deny(&format!("d{n:03}"), "mode: audit")).collect();
    policies.push(allow("a", ""));
    assert_eq!(evaluate_for_site(policies).split(", ").count(), 100);
}

#[test]
fn an_explanation_evaluates_no_shadow_policy_without_the_facts_that_it_needs() {
    let node = "mode: audit\ncondition: 'caller.pod.node == \"a\"'";
    let policies = vec![
        allow("a", ""),
        deny("condition", node),
        allow("attested", "mode: audit\nattest: {repo: 'caller.pod.node'}"),
        allow("other", &format!("{node}\nrepos: [shop]")),
        deny("plain", "mode: audit"),
    ];
    let set = PolicySet::new(policies);
    let (caller, request) = (pod("ci", "bot"), request_for("site", "main"));
    let explain = |facts: &Facts, available| {
        let explained = set.explain_with(&caller, (facts, available), &request);
        assert!(explained.allowed);
        let verdict = |policy: &ExplainedPolicy| {
            (policy.name.to_string(), policy.is_shadow, policy.matched, policy.shadow.map(ShadowOutcome::as_str))
        };
        explained.policies.iter().map(verdict).collect::<Vec<_>>()
    };
    let row = |name: &str, matched, outcome: Option<&'static str>| (name.to_owned(), name != "a", matched, outcome);
    // Facts that were not read say nothing about the pod.
    let unread = [
        row("a", true, None),
        row("attested", false, None),
        row("condition", false, None),
        row("other", false, Some("no_change")),
        row("plain", true, Some("would_deny")),
    ];
    assert_eq!(explain(&Facts::default(), Needs::NOTHING), unread);
    let absent = set.explain_with(&caller, (&Facts::default(), Needs::NOTHING), &request);
    let detail = absent.policies[2].detail.as_deref();
    assert_eq!(detail, Some("it was not evaluated, because facts that it needs are not available"));
    // A pod without a node: a deny policy matches if its condition has no result.
    let read = explain(&facts_with_labels(&[]), Needs::POD);
    assert_eq!(read[2], row("condition", true, Some("would_deny")));
    assert!(read.iter().all(|(_, is_shadow, _, outcome)| *is_shadow == outcome.is_some()));
}
