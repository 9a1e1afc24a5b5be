//! The index only reduces the candidates: the same policies match with and without it.

use super::{names, oidc_caller, partial_request, pod, policy, request_for};
use crate::model::facts::Facts;
use crate::policy::{Decision, Policy, PolicySet};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

fn patterns() -> impl Strategy<Value = String> {
    let pattern = prop::sample::select(vec!["a", "b", "c", "a*", "a*b", "a?", "ab*", "*", "**", "a/**", "{a,b}", "?"]);
    prop::collection::vec(pattern, 1..4).prop_map(|patterns| format!("['{}']", patterns.join("', '")))
}

fn subject() -> impl Strategy<Value = String> {
    let claim = || prop::sample::select(vec!["a", "b", "1", "*", "a*", "ab", "true"]);
    prop_oneof![
        (patterns(), patterns()).prop_map(|(namespaces, accounts)| {
            format!("{{kubernetes: {{namespaces: {namespaces}, serviceAccounts: {accounts}}}}}")
        }),
        (prop::sample::select(vec!["github", "gitlab"]), claim(), prop::option::of(claim())).prop_map(
            |(issuer, x, y)| {
                let y = y.map(|y| format!(", y: '{y}'")).unwrap_or_default();
                format!("{{oidc: {{issuer: {issuer}, claims: {{x: '{x}'{y}}}}}}}")
            }
        ),
    ]
}

fn spec() -> impl Strategy<Value = String> {
    (prop::collection::vec(subject(), 1..4), patterns(), patterns()).prop_map(|(subjects, repos, branches)| {
        let subjects = subjects.join(", ");
        format!("subjects: [{subjects}]\nrepos: {repos}\nbranches: {branches}\nsecrets: [{{store: vault, path: x}}]")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_index_finds_all_matching_policies(specs in prop::collection::vec(spec(), 1..12)) {
        let policies: Vec<Arc<Policy>> =
            specs.iter().enumerate().map(|(index, text)| Arc::new(policy(&format!("p{index:02}"), text))).collect();
        let set = PolicySet::new(policies.clone());
        let callers = [
            pod("a", "a"), pod("a", "b"), pod("b", "c"), pod("ab", "a"), pod("d", "d"),
            oidc_caller("github", json!({"x": "a"})), oidc_caller("github", json!({"x": ["b", "a"], "y": true})),
            oidc_caller("gitlab", json!({"x": 1, "y": "ab"})), oidc_caller("gitlab", json!({"y": "a"})), oidc_caller("cluster", json!({"x": "a"})),
        ];
        for caller in &callers {
            for request in [request_for("a", "a"), request_for("b", "c"), request_for("ab", "b"), request_for("d", "a")] {
                // An explanation evaluates every policy.
                let explained = set.explain(caller, &Facts::default(), &request);
                let matching = explained.policies.iter().filter(|verdict| verdict.matched);
                let expected: Vec<&str> = matching.map(|verdict| &*verdict.name).collect();
                match set.decide(caller, &Facts::default(), &request) {
                    Decision::Granted(grant) => prop_assert_eq!(names(&grant.policies), expected),
                    _ => prop_assert!(expected.is_empty(), "{:?}", expected),
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_changed_set_decides_like_a_new_set(
        specs in prop::collection::vec((spec(), 0..4_u8), 2..12),
        steps in prop::collection::vec((0..24_usize, 0..12_usize), 1..12),
    ) {
        // Many policies that stay, so that only a few change in each step.
        let mut now: BTreeMap<String, Arc<Policy>> = (0..100)
            .map(|at| (format!("kept-{at}"), Arc::new(policy(&format!("kept-{at}"), UNCHANGED))))
            .collect();
        let mut set = PolicySet::new(now.values().cloned());
        for (name, at) in steps {
            let name = format!("p-{name}");
            // Removing a name that does not exist is tried too.
            match specs.get(at) {
                // The number says which kind of policy is inserted: in shadow mode, with expressions, or plain.
                Some((text, 0)) => now.insert(name.clone(), Arc::new(policy(&name, &format!("{text}\nmode: audit")))),
                Some((text, 1)) => {
                    let text = format!("{text}\nattest: {{repo: '\"a\"'}}\ncondition: 'size(caller.pod.name) == 0'");
                    now.insert(name.clone(), Arc::new(policy(&name, &text)))
                }
                Some((text, _)) => now.insert(name.clone(), Arc::new(policy(&name, text))),
                None => now.remove(&name),
            };
            let built = PolicySet::new(now.values().cloned());
            set = set.with_policies(now.values().cloned().collect()).0;
            prop_assert!(set.names().eq(built.names()));
            for caller in [pod("a", "a"), pod("ab", "a"), oidc_caller("github", json!({"x": "a"})), oidc_caller("gitlab", json!({"y": "a"}))] {
                for request in [request_for("a", "a"), request_for("b", "c"), partial_request(None, Some("a"))] {
                    let facts = Facts::default();
                    prop_assert_eq!(set.needs(&caller, &request), built.needs(&caller, &request));
                    let decided = |set: &PolicySet| format!("{:?}", set.decide(&caller, &facts, &request));
                    prop_assert_eq!(decided(&set), decided(&built));
                    let shadows = |set: &PolicySet| {
                        set.shadow_policies(&caller, &request).map(|shadows| shadows.evaluate(&caller, &facts, &request, &|_| true))
                    };
                    prop_assert_eq!(shadows(&set), shadows(&built));
                }
            }
        }
        let all: Vec<_> = now.into_iter().filter(|(name, _)| name.starts_with("kept")).map(|(_, policy)| policy).collect();
        set = set.with_policies(all.clone()).0;
        let (same, difference) = set.with_policies(all);
        prop_assert_eq!((difference.removed().count(), difference.added().count()), (0, 0));
        prop_assert!(same.shadow_policies(&pod("a", "a"), &request_for("a", "a")).is_none());
    }
}

const UNCHANGED: &str = "subjects: [{kubernetes: {namespaces: [z], serviceAccounts: ['*']}}]\nrepos: ['*']\nbranches: ['*']\nsecrets: [{store: vault, path: x}]";

#[test]
fn policies_with_long_lists_are_found() {
    // The lengths are at and beyond the maximum number of index entries of a subject, which is 64.
    let list = |count: usize| {
        let mut text = String::from("[");
        for index in 0..count {
            let _ = write!(text, "n{index},");
        }
        text + "]"
    };
    for (namespaces, accounts, repos) in
        [(64, 1, 1), (65, 1, 1), (8, 8, 1), (8, 9, 1), (4, 4, 4), (4, 4, 5), (1000, 1000, 1000)]
    {
        let text = format!(
            "subjects: [{{kubernetes: {{namespaces: {}, serviceAccounts: {}}}}}]\nrepos: {}\nbranches: [main]\nsecrets: [{{store: vault, path: x}}]",
            list(namespaces),
            list(accounts),
            list(repos)
        );
        let set = PolicySet::new(vec![policy("p", &text)]);
        let final_of = |count: usize| format!("n{}", count - 1);
        let caller = pod(&final_of(namespaces), &final_of(accounts));
        assert!(matches!(
            set.decide(&caller, &Facts::default(), &request_for(&final_of(repos), "main")),
            Decision::Granted(_)
        ));
        assert!(matches!(
            set.decide(&caller, &Facts::default(), &request_for(&format!("n{repos}"), "main")),
            Decision::Denied(_)
        ));
        assert!(matches!(
            set.decide(&pod("n0", "x"), &Facts::default(), &request_for("n0", "main")),
            Decision::Denied(_)
        ));
    }
}
