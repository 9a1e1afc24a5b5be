//! Shadow mode: a policy with `mode: audit` changes no decision, and says what it would have changed.

use super::{asks, asks_partly, granted, labelled, names, pod, policy, run_with};
use crate::model::caller::Caller;
use crate::model::facts::{Facts, Needs};
use crate::model::request::UnverifiedRequest;
use crate::model::shadow::ShadowOutcome;
use crate::policy::matching::MismatchKind;
use crate::policy::outcome::Delivery;
use crate::policy::{Decision, Policy, PolicySet};
use serde_json::json;

const ANYONE: &str = "subjects: [{kubernetes: {namespaces: ['**'], serviceAccounts: ['**']}}]\nbranches: ['**']\n";

fn allow(name: &str, lines: &str) -> Policy {
    let repos = if lines.contains("repos:") { "" } else { "repos: ['**']\n" };
    policy(name, &format!("{ANYONE}{repos}{lines}\nsecrets: [{{store: vault, path: '{name}/{{repo}}'}}]"))
}

fn deny(name: &str, lines: &str) -> Policy {
    let repos = if lines.contains("repos:") { "" } else { "repos: ['**']\n" };
    policy(name, &format!("{ANYONE}effect: deny\n{repos}{lines}"))
}

/// What each policy in shadow mode would change for a request by ticket.
fn judged(policies: Vec<Policy>, facts: &Facts, asked: &UnverifiedRequest) -> String {
    let set = PolicySet::new(policies);
    let caller = pod("ci", "bot");
    let Some(shadows) = set.shadows(&caller, asked) else { return "nothing".into() };
    let verdicts = shadows.compare_shadows(&caller, facts, asked, &|delivery: Delivery| delivery.ticket);
    let shown = verdicts.iter().map(|verdict| {
        format!("{} {} {}", verdict.policy, if verdict.denies { "deny" } else { "allow" }, verdict.outcome.as_str())
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn site(policies: Vec<Policy>) -> String {
    judged(policies, &Facts::default(), &asks("site", "main"))
}

#[test]
fn a_deny_policy_would_deny_what_is_allowed_and_nothing_else() {
    assert_eq!(site(vec![allow("a", ""), deny("d", "mode: audit")]), "d deny would_deny");
    assert_eq!(site(vec![deny("d", "mode: audit")]), "d deny no_change");
    assert_eq!(site(vec![allow("a", ""), deny("b", ""), deny("d", "mode: audit")]), "d deny no_change");
    // One that does not match is not mentioned, and neither is one that is enforced.
    assert_eq!(site(vec![allow("a", ""), deny("d", "mode: audit\nrepos: [shop]")]), "nothing");
    assert_eq!(site(vec![allow("a", ""), deny("d", "mode: audit\ncondition: 'false'")]), "");
    assert_eq!(site(vec![allow("a", ""), deny("d", "mode: enforce")]), "nothing");
}

#[test]
fn an_allow_policy_would_allow_what_is_denied_or_add_secrets() {
    assert_eq!(site(vec![allow("a", "mode: audit")]), "a allow would_allow");
    assert_eq!(site(vec![allow("a", "mode: audit"), deny("d", "")]), "a allow no_change");
    assert_eq!(site(vec![allow("a", ""), allow("b", "mode: audit")]), "b allow would_allow");
    // The same secret again, with a shorter life: the bundle is the same.
    let same = |name: &str, lines: &str| {
        policy(name, &format!("{ANYONE}repos: ['**']\n{lines}\nsecrets: [{{store: vault, path: a/b}}]"))
    };
    assert_eq!(site(vec![same("a", ""), same("b", "mode: audit\nticket: {ttl: 1m}")]), "b allow no_change");
    // Two are judged each by itself.
    let two = vec![allow("a", "mode: audit"), deny("d", "mode: audit")];
    assert_eq!(site(two), "a allow would_allow, d deny no_change");
    // What it lists as ways of delivery is an intersection with the others'.
    let direct = vec![allow("a", ""), allow("b", "mode: audit\ndelivery: [direct]")];
    assert_eq!(site(direct), "b allow would_deny");
}

#[test]
fn its_attestation_refuses_nothing_and_would() {
    let by_label = "attest: {repo: 'caller.pod.labels.repo'}";
    let shop = labelled(&[("repo", "shop")]);
    let shadow = || vec![allow("a", ""), allow("b", &format!("mode: audit\n{by_label}"))];
    let enforced = || vec![allow("a", ""), allow("b", by_label)];
    let caller = pod("ci", "bot");
    let decided = |policies, facts: &Facts| PolicySet::new(policies).decide(&caller, facts, &asks("site", "main"));
    assert!(matches!(decided(shadow(), &shop), Decision::Granted(grant) if names(&grant.policies) == ["a"]));
    assert!(matches!(decided(enforced(), &shop), Decision::Denied(denial) if denial.as_str() == "attestation_failed"));
    assert_eq!(judged(shadow(), &shop, &asks("site", "main")), "b allow would_deny");
    assert_eq!(judged(shadow(), &labelled(&[("repo", "site")]), &asks("site", "main")), "b allow would_allow");
    // Nor does it fill in what was left out.
    let asked = asks_partly(None, Some("main"));
    let alone = || vec![allow("b", &format!("mode: audit\n{by_label}"))];
    assert!(matches!(PolicySet::new(alone()).decide(&caller, &shop, &asked), Decision::LeftOut(_)));
    assert_eq!(judged(alone(), &shop, &asked), "b allow would_allow");
}

#[test]
fn it_grants_nothing_and_needs_no_facts() {
    let run = "mode: audit\ncondition: 'caller.pipelineRun.params.repo == \"site\"'";
    let policies =
        || vec![allow("a", ""), allow("b", run), allow("c", "mode: audit\nattest: {repo: 'caller.pod.node'}")];
    let (caller, asked) = (pod("ci", "bot"), asks("site", "main"));
    let grant = granted(policies(), &caller, &asked);
    assert_eq!((names(&grant.policies), grant.secrets.len()), (vec!["a"], 1));
    let set = PolicySet::new(policies());
    assert_eq!(set.needs(&caller, &asked), Needs::NOTHING);
    let shadows = set.shadows(&caller, &asked).expect("two");
    assert_eq!(shadows.needs(), Needs::POD.and(Needs::PIPELINE_RUN));
    assert!(set.get("b").is_some_and(|policy| policy.is_shadow()) && set.get("d").is_none());
    // A caller that none speaks of needs nothing.
    let bearer = Caller { issuer: "github".into(), workload: None, ..caller };
    assert!(set.shadows(&bearer, &asked).is_none());
    let facts = run_with(json!({"repo": "site"}));
    assert_eq!(judged(policies(), &facts, &asked), "b allow would_allow");
    assert!(set.policies().iter().filter(|policy| policy.is_shadow()).all(|policy| policy.paths().is_empty()));
}

#[test]
fn an_explanation_shows_it_apart() {
    let set = PolicySet::new(vec![allow("a", ""), deny("d", "mode: audit"), deny("e", "mode: audit\nrepos: [shop]")]);
    let explained = set.explain(&pod("ci", "bot"), &Facts::default(), &asks("site", "main"));
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
fn at_most_a_hundred_are_evaluated() {
    let mut policies: Vec<Policy> = (0..150).map(|n| deny(&format!("d{n:03}"), "mode: audit")).collect();
    policies.push(allow("a", ""));
    assert_eq!(site(policies).split(", ").count(), 100);
}
