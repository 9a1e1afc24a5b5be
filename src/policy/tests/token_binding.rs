//! Subjects with `bound`: tokens that are bound to a pod, tokens that are not, or both.

use super::{
    decide, expect_denial, expect_grant, facts_with_labels, faults, names, oidc_caller, paths, pod, policy, request_for,
};
use crate::model::caller::{Caller, ServiceAccount};
use crate::model::facts::Facts;
use crate::policy::{Decision, Denial, Policy, PolicySet};
use serde_json::json;

fn unbound(namespace: &str, name: &str) -> Caller {
    let unbound_account = Some(ServiceAccount { namespace: namespace.into(), name: name.into() });
    Caller { workload: None, unbound_account, ..pod(namespace, name) }
}

fn allow(bound: &str) -> Policy {
    policy(
        "allow",
        &format!(
            "subjects: [{{kubernetes: {{namespaces: [ci], serviceAccounts: [build-bot]{bound}}}}}]\nrepos: [site]\nbranches: [main]\n\
         secrets: [{{store: vault, path: 'teams/{{namespace}}/{{serviceAccount}}'}}]"
        ),
    )
}

/// A deny policy. `rest` may add fields to its only subject, and closes the subject.
fn deny(rest: &str) -> Policy {
    policy(
        "deny",
        &format!(
            "effect: deny\nsubjects: [{{kubernetes: {{namespaces: ['**'], serviceAccounts: ['**']{rest}\nrepos: ['**']\nbranches: ['**']"
        ),
    )
}

fn allow_any() -> Policy {
    allow(", bound: any")
}

#[test]
fn an_allow_policy_matches_only_pods_by_default() {
    let (with_pod, without_pod) = (pod("ci", "build-bot"), unbound("ci", "build-bot"));
    for (bound, of_pod, of_none) in
        [("", true, false), (", bound: pod", true, false), (", bound: none", false, true), (", bound: any", true, true)]
    {
        for (caller, allowed) in [(&with_pod, of_pod), (&without_pod, of_none)] {
            let decision = decide(vec![allow(bound)], caller, &Facts::default(), &request_for("site", "main"));
            match decision {
                Decision::Granted(grant) => {
                    assert!(allowed, "{bound}");
                    assert_eq!(paths(&grant), ["teams/ci/build-bot"]);
                }
                other => {
                    assert!(
                        !allowed && matches!(other, Decision::Denied(Denial::NoPolicyMatches)),
                        "{bound} {other:?}"
                    );
                }
            }
        }
    }
    let of_others = [unbound("cd", "build-bot"), unbound("ci", "other"), oidc_caller("github", json!({"sub": "ci"}))];
    for caller in of_others {
        expect_denial(vec![allow_any()], &caller, &request_for("site", "main"));
    }
}

#[test]
fn a_deny_policy_matches_all_tokens_by_default() {
    let (with_pod, without_pod) = (pod("ci", "build-bot"), unbound("ci", "build-bot"));
    for (rest, of_pod, of_none) in [
        ("}}]", true, true),
        (", bound: any}}]", true, true),
        (", bound: pod}}]", true, false),
        (", bound: none}}]", false, true),
    ] {
        for (caller, denies) in [(&with_pod, of_pod), (&without_pod, of_none)] {
            let policies = vec![allow_any(), deny(rest)];
            if denies {
                let denial = expect_denial(policies, caller, &request_for("site", "main"));
                assert_eq!((denial.as_str(), names(denial.policies())), ("denied_by_policy", vec!["deny"]), "{rest}");
            } else {
                expect_grant(policies, caller, &request_for("site", "main"));
            }
        }
    }
}

#[test]
fn an_attestation_by_pod_fails_without_a_pod() {
    let attesting = "subjects: [{kubernetes: {namespaces: [ci], serviceAccounts: [build-bot], bound: any}}]\nrepos: [site]\n\
                     branches: [main]\nattest: {repo: 'caller.pod.labels.repo'}\nsecrets: [{store: vault, path: a}]";
    let policies = || vec![policy("attesting", attesting)];
    let facts = facts_with_labels(&[("repo", "site")]);
    let of_pod = decide(policies(), &pod("ci", "build-bot"), &facts, &request_for("site", "main"));
    assert!(matches!(of_pod, Decision::Granted(_)), "{of_pod:?}");
    // Facts about another pod are ignored.
    let denial = decide(policies(), &unbound("ci", "build-bot"), &facts, &request_for("site", "main"));
    assert!(
        matches!(&denial, Decision::Denied(Denial::AttestationFailed(of)) if names(of) == ["attesting"]),
        "{denial:?}"
    );
}

#[test]
fn conditions_without_a_pod_have_the_service_account() {
    let with = |condition: &str| {
        let spec = format!(
            "subjects: [{{kubernetes: {{namespaces: [ci], serviceAccounts: [build-bot], bound: any}}}}]\nrepos: [site]\n\
             branches: [main]\ncondition: '{condition}'\nsecrets: [{{store: vault, path: a}}]"
        );
        decide(vec![policy("p", &spec)], &unbound("ci", "build-bot"), &Facts::default(), &request_for("site", "main"))
    };
    for condition in ["caller.namespace == \"ci\"", "caller.serviceAccount == \"build-bot\"", "!has(caller.pod)"] {
        assert!(matches!(with(condition), Decision::Granted(_)), "{condition}");
    }
    for condition in ["has(caller.pod)", "caller.pod.name == \"\"", "has(caller.pod.name)"] {
        assert!(matches!(with(condition), Decision::Denied(_)), "{condition}");
    }
}

#[test]
fn an_explanation_names_the_required_token_binding() {
    for (bound, caller, detail) in [
        (
            "",
            unbound("ci", "build-bot"),
            "a subject names the ServiceAccount but not tokens that are bound to no pod (bound)",
        ),
        (
            ", bound: none",
            pod("ci", "build-bot"),
            "a subject names the ServiceAccount but not tokens that are bound to a pod (bound)",
        ),
        ("", unbound("cd", "build-bot"), "no subject matches the caller"),
    ] {
        let explained =
            PolicySet::new(vec![allow(bound)]).explain(&caller, &Facts::default(), &request_for("site", "main"));
        assert_eq!(explained.policies[0].detail.as_deref(), Some(detail));
    }
}

#[test]
fn an_invalid_value_of_bound_is_a_fault() {
    let with = |bound: &str| {
        faults(&format!(
            "subjects: [{{kubernetes: {{namespaces: [ci], serviceAccounts: [b], bound: {bound}}}}}]\nrepos: [site]\n\
             branches: [main]\nsecrets: [{{store: vault, path: a}}]"
        ))
    };
    assert_eq!(with("any"), Vec::<String>::new());
    for word in ["Pod", "''", "node"] {
        assert_eq!(with(word), ["/spec/subjects/0/kubernetes/bound: must be pod, none or any"], "{word}");
    }
}

#[test]
fn an_explanation_allows_an_unbound_token_only_direct_delivery() {
    let (with_pod, without_pod) = (pod("ci", "build-bot"), unbound("ci", "build-bot"));
    for (delivery, of_pod, of_none) in [
        ("", "granted", "delivery_not_allowed"),
        ("\ndelivery: [ticket, direct]", "granted", "granted"),
        ("\ndelivery: [direct]", "granted", "granted"),
    ] {
        let body = "subjects: [{kubernetes: {namespaces: [ci], serviceAccounts: [build-bot], bound: any}}]\nrepos: [site]\n\
                    branches: [main]\nsecrets: [{store: vault, path: a}]";
        let set = PolicySet::new(vec![policy("allow", &format!("{body}{delivery}"))]);
        for (caller, reason) in [(&with_pod, of_pod), (&without_pod, of_none)] {
            let explained = set.explain(caller, &Facts::default(), &request_for("site", "main"));
            assert_eq!((explained.allowed, explained.reason), (reason == "granted", reason), "{delivery}");
        }
    }
}
