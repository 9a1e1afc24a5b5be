//! Decisions: for each allowed request there is a similar one that is denied.

use super::{
    bounds, bounds_with_ceiling, decide, expect_denial, expect_grant, names, oidc_caller, paths, pod, policy,
    request_for, spec,
};
use crate::model::facts::Facts;
use crate::model::ticket_binding::TicketBinding;
use crate::policy::compiled_policy::MismatchKind;
use crate::policy::{Decision, Denial, Policy, PolicySet};
use serde_json::json;
use std::time::Duration;

const SITES: &str = "
subjects:
  - kubernetes: {namespaces: ['tekton-*'], serviceAccounts: [build-bot, deploy-bot]}
  - oidc: {issuer: github, claims: {repository_owner: acme, environment: 'prod*'}}
repos: [moreira.dev, 'apps/*']
branches: [main, 'release/**']
secrets: [{store: vault, path: homelab/shared}, {store: vault, path: 'homelab/{repo}/{branch}'}]
";

const ANY_POD: &str = "
subjects: [{kubernetes: {namespaces: ['**'], serviceAccounts: ['**']}}]
repos: ['**']
branches: ['**']
";

fn allow(name: &str, path: &str) -> Policy {
    policy(name, &format!("{ANY_POD}secrets: [{{store: vault, path: '{path}'}}]"))
}

#[test]
fn policies_match_by_subject_repo_and_branch() {
    let sites = || vec![policy("sites", SITES)];
    let main = request_for("moreira.dev", "main");
    let prod = json!({"repository_owner": "acme", "environment": "production"});
    for (caller, request, mismatch) in [
        (pod("tekton-ci", "build-bot"), main.clone(), None),
        (pod("tekton-", "deploy-bot"), request_for("apps/x", "release/1/2"), None),
        (pod("tekton", "build-bot"), main.clone(), Some(MismatchKind::Subjects)),
        (pod("Tekton-ci", "build-bot"), main.clone(), Some(MismatchKind::Subjects)),
        (pod("tekton-ci", "build-bot2"), main.clone(), Some(MismatchKind::Subjects)),
        (pod("tekton-ci", "build-bot"), request_for("moreira-dev", "main"), Some(MismatchKind::Repos)),
        (pod("tekton-ci", "build-bot"), request_for("apps/x/y", "main"), Some(MismatchKind::Repos)),
        (pod("tekton-ci", "build-bot"), request_for("apps", "main"), Some(MismatchKind::Repos)),
        (pod("tekton-ci", "build-bot"), request_for("moreira.dev", "MAIN"), Some(MismatchKind::Branches)),
        (pod("tekton-ci", "build-bot"), request_for("moreira.dev", "release"), Some(MismatchKind::Branches)),
        (oidc_caller("github", prod.clone()), main.clone(), None),
        (oidc_caller("gitlab", prod.clone()), main.clone(), Some(MismatchKind::Subjects)),
        (oidc_caller("github", json!({"repository_owner": "acme"})), main.clone(), Some(MismatchKind::Subjects)),
        (oidc_caller("github", json!({"environment": "prod"})), main.clone(), Some(MismatchKind::Subjects)),
        (oidc_caller("github", json!({})), main.clone(), Some(MismatchKind::Subjects)),
        (oidc_caller("cluster", prod), main.clone(), Some(MismatchKind::Subjects)),
    ] {
        let explained = PolicySet::new(sites()).explain(&caller, &Facts::default(), &request);
        assert_eq!(explained.policies[0].failed_at, mismatch, "{caller:?} {request:?}");
        match mismatch {
            None => assert_eq!(names(&expect_grant(sites(), &caller, &request).policies), ["sites"]),
            Some(_) => assert_eq!(expect_denial(sites(), &caller, &request), Denial::NoPolicyMatches),
        }
    }
}

#[test]
fn claims_match_as_strings_numbers_booleans_and_lists_of_them() {
    let with = |pattern: &str| {
        let subjects = format!("subjects: [{{oidc: {{issuer: gitlab, claims: {{c: '{pattern}'}}}}}}]");
        policy("p", &format!("{subjects}\nrepos: ['**']\nbranches: ['**']\nsecrets: [{{store: vault, path: a}}]"))
    };
    for (pattern, claim, matches) in [
        ("acme", json!("acme"), true),
        ("acme", json!("Acme"), false),
        ("17", json!(17), true),
        ("1*", json!(17), true),
        ("17", json!("17"), true),
        ("17", json!(170), false),
        ("true", json!(true), true),
        ("true", json!(false), false),
        ("a/b", json!(["x", "a/b"]), true),
        ("a/*", json!(["x", "a/b"]), true),
        ("a/b", json!(["x", "a"]), false),
        ("7", json!([1, 7]), true),
        ("**", json!([]), false),
        ("**", json!([["a"]]), false),
        ("**", json!(null), false),
        ("null", json!(null), false),
        ("**", json!({"a": "b"}), false),
        ("**", json!(""), true),
    ] {
        let caller = oidc_caller("gitlab", json!({"c": claim}));
        if matches {
            expect_grant(vec![with(pattern)], &caller, &request_for("r", "b"));
        } else {
            expect_denial(vec![with(pattern)], &caller, &request_for("r", "b"));
        }
    }
}

#[test]
fn kubernetes_subjects_match_only_pods_but_of_any_cluster() {
    let any_pod = || vec![allow("any-pod", "a")];
    expect_grant(any_pod(), &pod("ci", "bot"), &request_for("r", "b"));
    assert_eq!(
        expect_denial(any_pod(), &oidc_caller("github", json!({"a": "b"})), &request_for("r", "b")),
        Denial::NoPolicyMatches
    );
    let mut of_another_cluster = pod("ci", "bot");
    of_another_cluster.issuer = "second".into();
    expect_grant(any_pod(), &of_another_cluster, &request_for("r", "b"));
}

#[test]
fn granted_policies_are_in_bytewise_order_and_secrets_as_listed() {
    let secrets = "secrets: [{store: vault, path: z}, {store: local, path: 'a/{branch}', required: true}]";
    let policies = vec![allow("b", "b/{repo}"), policy("a.b", &format!("{ANY_POD}{secrets}")), allow("a-b", "c")];
    let grant = expect_grant(policies, &pod("ci", "bot"), &request_for("r/s", "x/y"));
    assert_eq!(names(&grant.policies), ["a-b", "a.b", "b"]);
    assert_eq!(paths(&grant), ["c", "z", "a/x~y", "b/r~s"]);
    assert_eq!(grant.secrets.iter().map(|one| one.required).collect::<Vec<_>>(), [false, false, true, false]);
    assert_eq!(&*grant.secrets[2].secret.store, "local");
}

#[test]
fn one_deny_policy_overrides_all_allow_policies() {
    let deny = |name: &str, branch: &str| {
        policy(name, &format!("{ANY_POD}effect: deny").replace("branches: ['**']", &format!("branches: ['{branch}']")))
    };
    let policies = || vec![allow("a", "x"), deny("no-tmp", "tmp/**"), deny("b", "tmp/x"), allow("z", "y")];
    let caller = pod("ci", "bot");
    assert_eq!(paths(&expect_grant(policies(), &caller, &request_for("r", "main"))), ["x", "y"]);
    let denial = expect_denial(policies(), &caller, &request_for("r", "tmp/x"));
    assert_eq!((denial.as_str(), names(denial.policies())), ("denied_by_policy", vec!["b", "no-tmp"]));
    assert_eq!(expect_denial(vec![deny("b", "tmp/x")], &caller, &request_for("r", "main")), Denial::NoPolicyMatches);
}

#[test]
fn the_strictest_ticket_settings_apply() {
    let with = |name: &str, rest: &str| policy(name, &format!("{ANY_POD}secrets: [{{store: vault, path: a}}]\n{rest}"));
    let grant = |rests: &[&str]| {
        let policies = rests.iter().enumerate().map(|(index, rest)| with(&format!("p{index}"), rest)).collect();
        let grant = expect_grant(policies, &pod("ci", "bot"), &request_for("r", "b"));
        (grant.ttl.map(|ttl| ttl.as_secs()), grant.binding, grant.delivery.ticket, grant.delivery.direct)
    };
    assert_eq!(grant(&[""]), (None, None, true, false));
    assert_eq!(grant(&["ticket: {ttl: 2m, bindTo: none}", ""]), (Some(120), Some(TicketBinding::None), true, false));
    assert_eq!(
        grant(&["ticket: {ttl: 2m, bindTo: none}", "ticket: {ttl: 90s}", "ticket: {ttl: 5m, bindTo: ip}"]),
        (Some(90), Some(TicketBinding::Ip), true, false)
    );
    assert_eq!(grant(&["delivery: [direct, ticket]"]), (None, None, true, true));
    assert_eq!(grant(&["delivery: [direct]", "delivery: [direct, ticket]"]), (None, None, false, true));
    assert_eq!(grant(&["delivery: [direct]", ""]), (None, None, false, false));
}

#[test]
fn a_policy_with_a_path_that_cannot_be_expanded_grants_nothing() {
    let secrets = "secrets: [{store: vault, path: a}, {store: vault, path: 'b/{namespace}'}]";
    let either = "subjects: [{kubernetes: {namespaces: ['**'], serviceAccounts: ['**']}}, {oidc: {issuer: github, claims: {o: acme}}}]";
    let text = format!("{either}\nrepos: ['**']\nbranches: ['**']\n{secrets}");
    let policies = || vec![policy("p", &text)];
    assert_eq!(paths(&expect_grant(policies(), &pod("ci", "bot"), &request_for("r", "b"))), ["a", "b/ci"]);
    let denial = expect_denial(policies(), &oidc_caller("github", json!({"o": "acme"})), &request_for("r", "b"));
    assert_eq!((denial.as_str(), names(denial.policies())), ("no_path_fits", vec!["p"]));
}

#[test]
fn an_expanded_path_outside_the_ceiling_is_denied() {
    let text = format!("{ANY_POD}secrets: [{{store: vault, path: 'homelab/{{repo|path}}'}}]");
    let compile = |prefix: &str| {
        Policy::compile("p", &spec(&text), &bounds_with_ceiling(&[("vault", prefix)])).expect("path below prefix")
    };
    let caller = pod("ci", "bot");
    assert_eq!(
        paths(&expect_grant(vec![compile("homelab/web")], &caller, &request_for("web/site", "b"))),
        ["homelab/web/site"]
    );
    assert_eq!(paths(&expect_grant(vec![compile("homelab/web")], &caller, &request_for("web", "b"))), ["homelab/web"]);
    for repo in ["webs", "other/web", "web.x/site"] {
        assert!(
            matches!(
                expect_denial(vec![compile("homelab/web")], &caller, &request_for(repo, "b")),
                Denial::NoPathFits(_)
            ),
            "{repo}"
        );
    }
}

#[test]
fn an_empty_set_denies() {
    assert_eq!(expect_denial(vec![], &pod("ci", "bot"), &request_for("r", "b")), Denial::NoPolicyMatches);
    assert!(PolicySet::default().is_empty());
}

#[test]
fn a_set_lists_its_policies_by_name() {
    let set = PolicySet::new(vec![allow("b", "x"), allow("a", "x")]);
    assert_eq!((set.len(), set.names().collect::<Vec<_>>()), (2, vec!["a", "b"]));
}

#[test]
fn a_ticket_lifetime_keeps_its_milliseconds() {
    let text = format!("{ANY_POD}secrets: [{{store: vault, path: a}}]\nticket: {{ttl: 1500ms}}");
    let grant = expect_grant(vec![policy("p", &text)], &pod("ci", "bot"), &request_for("r", "b"));
    assert_eq!(grant.ttl, Some(Duration::from_millis(1500)));
}

#[test]
fn a_literal_claim_matches_only_its_text() {
    let any_actor = || {
        policy(
            "lax",
            "subjects: [{oidc: {issuer: github, claims: {actor: '**'}}}]\nrepos: ['**']\nbranches: ['**']\nsecrets: [{store: vault, path: a}]",
        )
    };
    let no_bot = || {
        policy(
            "bots",
            "effect: deny\nsubjects: [{oidc: {issuer: github, claims: {actor: {is: 'dependabot[bot]'}}}}]\nrepos: ['**']\nbranches: ['**']",
        )
    };
    for (actor, denied) in
        [("dependabot[bot]", true), ("dependabott", false), ("dependabotb", false), ("dependabot", false)]
    {
        let caller = oidc_caller("github", serde_json::json!({"actor": actor}));
        let decision = decide(vec![any_actor(), no_bot()], &caller, &Facts::default(), &request_for("site", "main"));
        assert_eq!(matches!(decision, Decision::Denied(Denial::DeniedByPolicy(_))), denied, "{actor}: {decision:?}");
        assert_eq!(matches!(decision, Decision::Granted(_)), !denied, "{actor}");
    }
}

/// A policy as stored by a version that supported patterns only.
fn stored(name: &str, rest: &str) -> Policy {
    let text = format!(
        "subjects: [{{oidc: {{issuer: github, claims: {{actor: 'dependabot[bot]'}}}}}}]\nrepos: ['**']\nbranches: ['**']\n{rest}"
    );
    assert!(Policy::compile(name, &spec(&text), &bounds()).is_err(), "a new policy like this is refused");
    Policy::compile_stored(name, &spec(&text), &bounds()).expect(name)
}

#[test]
fn a_stored_ambiguous_claim_pattern_also_matches_literally_in_deny_policies() {
    let lax = "subjects: [{oidc: {issuer: github, claims: {actor: '**'}}}]\nrepos: ['**']\nbranches: ['**']\n";
    let grants = "secrets: [{store: vault, path: a}]";
    for (actor, allowed, denied) in [
        ("dependabot[bot]", false, true),
        ("dependabotb", true, true),
        ("dependabott", true, true),
        ("dependabot", false, false),
        ("dependabot[bot]x", false, false),
    ] {
        let caller = oidc_caller("github", serde_json::json!({"actor": actor}));
        let request = request_for("site", "main");
        let decision = decide(vec![stored("bots", grants)], &caller, &Facts::default(), &request);
        assert_eq!(matches!(decision, Decision::Granted(_)), allowed, "{actor}: {decision:?}");
        let both = vec![policy("lax", &format!("{lax}{grants}")), stored("no-bots", "effect: deny")];
        let decision = decide(both, &caller, &Facts::default(), &request);
        assert_eq!(matches!(decision, Decision::Denied(Denial::DeniedByPolicy(_))), denied, "{actor}: {decision:?}");
    }
    assert!(stored("bots", grants).has_ambiguous_claim() && stored("no-bots", "effect: deny").has_ambiguous_claim());
    assert!(!policy("lax", &format!("{lax}{grants}")).has_ambiguous_claim());
}
