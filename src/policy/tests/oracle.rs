//! Compares decisions with an independent model of the language, without globs, CEL and the index.

use super::{facts_with_labels, names, partial_request, paths, pod, policy};
use crate::model::facts::Facts;
use crate::policy::{Decision, Policy, PolicySet};
use proptest::prelude::*;
use std::fmt::Write as _;

/// The result of an attestation: the value `l` or `r`, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
enum AttestationResult {
    Left,
    Right,
    Error,
    InvalidName,
    OtherType,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum ConditionResult {
    True,
    False,
    Error,
}

/// A policy over two namespaces, repos and branches: `l` and `r`.
#[derive(Debug, Clone)]
struct PolicyModel {
    denies: bool,
    namespaces: Vec<char>,
    repos: Vec<char>,
    branches: Vec<char>,
    attested_repo: Option<AttestationResult>,
    attested_branch: Option<AttestationResult>,
    condition: Option<ConditionResult>,
}

fn expression(result: AttestationResult) -> &'static str {
    match result {
        AttestationResult::Left => "caller.pod.labels.left",
        AttestationResult::Right => "'' + caller.pod.labels['right']",
        AttestationResult::Error => "caller.pod.labels.missing",
        AttestationResult::InvalidName => "caller.pod.labels.left + '^'",
        AttestationResult::OtherType => "[caller.pod.labels.left, 1][1]",
    }
}

impl PolicyModel {
    fn to_policy(&self, name: &str) -> Policy {
        let list = |chars: &[char]| chars.iter().map(|c| format!("'{c}'")).collect::<Vec<_>>().join(", ");
        let attestations = [("repo", self.attested_repo), ("branch", self.attested_branch)];
        let attest: Vec<_> = attestations
            .iter()
            .filter_map(|(part, result)| Some(format!("{part}: {:?}", expression((*result)?))))
            .collect();
        let mut text = format!(
            "subjects: [{{kubernetes: {{namespaces: [{}], serviceAccounts: ['**']}}}}]\nrepos: [{}]\nbranches: [{}]\n",
            list(&self.namespaces),
            list(&self.repos),
            list(&self.branches)
        );
        if !attest.is_empty() {
            let _ = writeln!(text, "attest: {{{}}}", attest.join(", "));
        }
        text += match self.condition {
            None => "",
            Some(ConditionResult::True) => "condition: 'request.repo == request.repo'\n",
            Some(ConditionResult::False) => "condition: 'request.repo != request.repo'\n",
            Some(ConditionResult::Error) => "condition: 'caller.claims.missing'\n",
        };
        let secrets = format!("secrets: [{{store: vault, path: {name}}}]");
        text += if self.denies { "effect: deny" } else { &secrets };
        policy(name, &text)
    }
}

/// The attested value.
fn attested(result: Option<AttestationResult>) -> Option<char> {
    match result {
        Some(AttestationResult::Left) => Some('l'),
        Some(AttestationResult::Right) => Some('r'),
        Some(AttestationResult::Error | AttestationResult::InvalidName | AttestationResult::OtherType) | None => None,
    }
}

/// Whether an attestation yields no value.
fn is_absent(result: Option<AttestationResult>) -> bool {
    result.is_some() && attested(result).is_none()
}

/// The values of one part that the policies for this caller attest.
fn attested_values<'a>(
    policies: &'a [&PolicyModel],
    part: fn(&PolicyModel) -> Option<AttestationResult>,
) -> impl Iterator<Item = char> + 'a {
    policies.iter().filter_map(move |policy| attested(part(policy)))
}

/// The expected decision, as text.
fn oracle(policies: &[PolicyModel], namespace: char, repo: Option<char>, branch: Option<char>) -> String {
    let of_caller: Vec<&PolicyModel> =
        policies.iter().filter(|policy| policy.namespaces.contains(&namespace)).collect();
    let repos: Vec<char> = repo.into_iter().chain(attested_values(&of_caller, |policy| policy.attested_repo)).collect();
    let branches: Vec<char> =
        branch.into_iter().chain(attested_values(&of_caller, |policy| policy.attested_branch)).collect();
    let contradict = |all: &[char]| all.iter().any(|one| *one != all[0]);
    if contradict(&repos) || contradict(&branches) {
        return "attestation_failed".into();
    }
    let (Some(repo), Some(branch)) = (repos.first(), branches.first()) else {
        return if repos.is_empty() { "repo_missing" } else { "branch_missing" }.into();
    };
    let (mut allowing, mut denying, mut unattested) = (vec![], false, false);
    for (index, policy) in policies.iter().enumerate() {
        if !policy.namespaces.contains(&namespace) {
            continue;
        }
        let absent = is_absent(policy.attested_repo) || is_absent(policy.attested_branch);
        unattested |= absent;
        let fits = policy.repos.contains(repo) && policy.branches.contains(branch);
        let condition = policy.condition.unwrap_or(ConditionResult::True);
        if policy.denies {
            denying |= fits && condition != ConditionResult::False;
        } else if fits && !absent && condition == ConditionResult::True {
            allowing.push(format!("p{index}"));
        }
    }
    match (allowing.is_empty(), denying, unattested) {
        (true, _, true) => "attestation_failed".into(),
        (_, true, _) => "denied_by_policy".into(),
        (true, false, false) => "no_policy_matches".into(),
        (false, false, _) => format!("{repo}@{branch}: {}", allowing.join(" ")),
    }
}

fn decision_as_text(decision: &Decision) -> String {
    match decision {
        Decision::Granted(grant) => {
            assert_eq!(paths(grant), names(&grant.policies));
            format!("{}@{}: {}", grant.request.repo, grant.request.branch, paths(grant).join(" "))
        }
        Decision::Denied(denial) => denial.as_str().to_owned(),
        Decision::PartMissing(part) => part.as_str().to_owned(),
    }
}

fn left_right_or_both() -> impl Strategy<Value = Vec<char>> {
    prop::sample::subsequence(vec!['l', 'r'], 1..=2)
}

fn attestation_result() -> impl Strategy<Value = Option<AttestationResult>> {
    let result = prop_oneof![
        6 => Just(AttestationResult::Left), 1 => Just(AttestationResult::Right), 1 => Just(AttestationResult::Error), 1 => Just(AttestationResult::InvalidName), 1 => Just(AttestationResult::OtherType),
    ];
    prop::option::weighted(0.3, result)
}

fn model() -> impl Strategy<Value = PolicyModel> {
    let condition = prop::option::weighted(
        0.4,
        prop_oneof![3 => Just(ConditionResult::True), 1 => Just(ConditionResult::False), 1 => Just(ConditionResult::Error)],
    );
    (
        prop::bool::weighted(0.2),
        left_right_or_both(),
        left_right_or_both(),
        left_right_or_both(),
        attestation_result(),
        attestation_result(),
        condition,
    )
        .prop_map(|(denies, namespaces, repos, branches, attested_repo, attested_branch, condition)| PolicyModel {
            denies,
            namespaces,
            repos,
            branches,
            attested_repo,
            attested_branch,
            condition,
        })
}

fn facts() -> Facts {
    facts_with_labels(&[("left", "l"), ("right", "r")])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn decisions_and_explanations_agree_with_the_oracle(models in prop::collection::vec(model(), 0..6)) {
        let set = PolicySet::new(models.iter().enumerate().map(|(index, policy)| policy.to_policy(&format!("p{index}"))));
        let facts = facts();
        for namespace in ['l', 'r'] {
            let caller = pod(&namespace.to_string(), "bot");
            for repo in [None, Some('l'), Some('r')] {
                for branch in [None, Some('l'), Some('r')] {
                    let text = |part: Option<char>| part.map(String::from);
                    let request = partial_request(text(repo).as_deref(), text(branch).as_deref());
                    let decided = decision_as_text(&set.decide(&caller, &facts, &request));
                    prop_assert_eq!(&decided, &oracle(&models, namespace, repo, branch), "{:?} {:?} {:?}", namespace, repo, branch);
                    let explained = set.explain(&caller, &facts, &request);
                    prop_assert_eq!(explained.allowed, decided.contains('@'));
                    let matching = explained.policies.iter().filter(|policy| policy.matched);
                    if explained.allowed {
                        prop_assert_eq!(explained.secrets.iter().map(|secret| &*secret.secret.path).collect::<Vec<_>>(), matching.map(|policy| &*policy.name).collect::<Vec<_>>());
                    } else {
                        prop_assert_eq!(explained.reason, &*decided);
                    }
                    // The decision depends only on facts that are reported as needed.
                    if !set.needs(&caller, &request).pod {
                        prop_assert_eq!(decision_as_text(&set.decide(&caller, &Facts::default(), &request)), decided);
                    }
                }
            }
        }
    }
}

#[test]
fn generated_policies_give_all_outcomes() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    let policies = prop::collection::vec(model(), 0..6);
    for _ in 0..2000 {
        let models = policies.new_tree(&mut runner).expect("a tree").current();
        let outcome = oracle(&models, 'l', Some('l'), Some('l'));
        let kind = if outcome.contains('@') { "granted".to_owned() } else { outcome };
        *seen.entry(kind).or_default() += 1;
    }
    assert!(seen.len() == 4 && seen.values().all(|count| *count > 100), "{seen:?}");
}
