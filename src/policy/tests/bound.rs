//! Subjects by what the token is bound to: a pod, nothing, or either.

use super::{asks, bearer, decided, denied, faults, granted, labelled, names, paths, pod, policy};
use crate::model::caller::{Caller, ServiceAccount};
use crate::model::facts::Facts;
use crate::policy::{Decision, Denial, Policy, PolicySet};
use serde_json::json;

fn unbound(namespace: &str, name: &str) -> Caller {
    let unbound = Some(ServiceAccount { namespace: namespace.into(), name: name.into() });
    Caller { workload: None, unbound, ..pod(namespace, name) }
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

fn deny(rest: &str) -> Policy {
    policy(
        "deny",
        &format!(
            "effect: deny\nsubjects: [{{kubernetes: {{namespaces: ['**'], serviceAccounts: ['**']{rest}\nrepos: ['**']\nbranches: ['**']"
        ),
    )
}

fn everybody() -> Policy {
    allow(", bound: any")
}

#[test]
fn an_allow_policy_is_for_pods_unless_it_says_otherwise() {
    let (with, without) = (pod("ci", "build-bot"), unbound("ci", "build-bot"));
    for (bound, of_pod, of_none) in
        [("", true, false), (", bound: pod", true, false), (", bound: none", false, true), (", bound: any", true, true)]
    {
        for (caller, allowed) in [(&with, of_pod), (&without, of_none)] {
            let decision = decided(vec![allow(bound)], caller, &Facts::default(), &asks("site", "main"));
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
    let of_others = [unbound("cd", "build-bot"), unbound("ci", "other"), bearer("github", json!({"sub": "ci"}))];
    for caller in of_others {
        denied(vec![everybody()], &caller, &asks("site", "main"));
    }
}

#[test]
fn a_deny_policy_is_for_both_unless_it_says_otherwise() {
    let (with, without) = (pod("ci", "build-bot"), unbound("ci", "build-bot"));
    for (rest, of_pod, of_none) in [
        ("}}]", true, true),
        (", bound: any}}]", true, true),
        (", bound: pod}}]", true, false),
        (", bound: none}}]", false, true),
    ] {
        for (caller, denies) in [(&with, of_pod), (&without, of_none)] {
            let policies = vec![everybody(), deny(rest)];
            if denies {
                let denial = denied(policies, caller, &asks("site", "main"));
                assert_eq!((denial.as_str(), names(denial.policies())), ("denied_by_policy", vec!["deny"]), "{rest}");
            } else {
                granted(policies, caller, &asks("site", "main"));
            }
        }
    }
}

#[test]
fn what_attests_by_pod_has_nothing_there() {
    let attesting = "subjects: [{kubernetes: {namespaces: [ci], serviceAccounts: [build-bot], bound: any}}]\nrepos: [site]\n\
                     branches: [main]\nattest: {repo: 'caller.pod.labels.repo'}\nsecrets: [{store: vault, path: a}]";
    let policies = || vec![policy("attesting", attesting)];
    let facts = labelled(&[("repo", "site")]);
    let of_pod = decided(policies(), &pod("ci", "build-bot"), &facts, &asks("site", "main"));
    assert!(matches!(of_pod, Decision::Granted(_)), "{of_pod:?}");
    // Facts about a pod that is not its own are not looked at either.
    let denial = decided(policies(), &unbound("ci", "build-bot"), &facts, &asks("site", "main"));
    assert!(
        matches!(&denial, Decision::Denied(Denial::AttestationFailed(of)) if names(of) == ["attesting"]),
        "{denial:?}"
    );
}

#[test]
fn conditions_see_the_account_and_no_pod() {
    let with = |condition: &str| {
        let spec = format!(
            "subjects: [{{kubernetes: {{namespaces: [ci], serviceAccounts: [build-bot], bound: any}}}}]\nrepos: [site]\n\
             branches: [main]\ncondition: '{condition}'\nsecrets: [{{store: vault, path: a}}]"
        );
        decided(vec![policy("p", &spec)], &unbound("ci", "build-bot"), &Facts::default(), &asks("site", "main"))
    };
    for condition in ["caller.namespace == \"ci\"", "caller.serviceAccount == \"build-bot\"", "!has(caller.pod)"] {
        assert!(matches!(with(condition), Decision::Granted(_)), "{condition}");
    }
    for condition in ["has(caller.pod)", "caller.pod.name == \"\"", "has(caller.pod.name)"] {
        assert!(matches!(with(condition), Decision::Denied(_)), "{condition}");
    }
}

#[test]
fn an_explanation_says_that_it_is_for_what_the_token_is_bound_to() {
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
        let explained = PolicySet::new(vec![allow(bound)]).explain(&caller, &Facts::default(), &asks("site", "main"));
        assert_eq!(explained.policies[0].detail.as_deref(), Some(detail));
    }
}

#[test]
fn another_word_is_refused_at_its_place() {
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
