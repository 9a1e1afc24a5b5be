//! Compares decisions with an independent oracle: no globs, no CEL, no index, only the meaning of the language.

use super::{asks_partly, labelled, names, paths, pod, policy};
use crate::model::facts::Facts;
use crate::policy::{Decision, Policy, PolicySet};
use proptest::prelude::*;
use std::fmt::Write as _;

/// The result of an attestation, from a small set.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Word {
    Left,
    Right,
    Errs,
    NoName,
    OtherType,
}

/// The result of a condition.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    True,
    False,
    Errs,
}

/// The meaning of a policy, over two namespaces, repos and branches: `l` and `r`.
#[derive(Debug, Clone)]
struct Meaning {
    denies: bool,
    namespaces: Vec<char>,
    repos: Vec<char>,
    branches: Vec<char>,
    attested_repo: Option<Word>,
    attested_branch: Option<Word>,
    condition: Option<Verdict>,
}

fn expression(word: Word) -> &'static str {
    match word {
        Word::Left => "caller.pod.labels.left",
        Word::Right => "'' + caller.pod.labels['right']",
        Word::Errs => "caller.pod.labels.missing",
        Word::NoName => "caller.pod.labels.left + '^'",
        Word::OtherType => "[caller.pod.labels.left, 1][1]",
    }
}

impl Meaning {
    fn written(&self, name: &str) -> Policy {
        let list = |of: &[char]| of.iter().map(|c| format!("'{c}'")).collect::<Vec<_>>().join(", ");
        let attestations = [("repo", self.attested_repo), ("branch", self.attested_branch)];
        let attest: Vec<_> = attestations
            .iter()
            .filter_map(|(part, word)| Some(format!("{part}: {:?}", expression((*word)?))))
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
            Some(Verdict::True) => "condition: 'request.repo == request.repo'\n",
            Some(Verdict::False) => "condition: 'request.repo != request.repo'\n",
            Some(Verdict::Errs) => "condition: 'caller.claims.missing'\n",
        };
        let secrets = format!("secrets: [{{store: vault, path: {name}}}]");
        text += if self.denies { "effect: deny" } else { &secrets };
        policy(name, &text)
    }
}

/// The attested value.
fn attested(word: Option<Word>) -> Option<char> {
    match word {
        Some(Word::Left) => Some('l'),
        Some(Word::Right) => Some('r'),
        Some(Word::Errs | Word::NoName | Word::OtherType) | None => None,
    }
}

/// Whether there is an attestation without a value.
fn is_absent(word: Option<Word>) -> bool {
    word.is_some() && attested(word).is_none()
}

/// The values of one part that the policies for this caller attest.
fn words<'a>(policies: &'a [&Meaning], part: fn(&Meaning) -> Option<Word>) -> impl Iterator<Item = char> + 'a {
    policies.iter().filter_map(move |policy| attested(part(policy)))
}

/// The expected decision, as text.
fn oracle(policies: &[Meaning], namespace: char, repo: Option<char>, branch: Option<char>) -> String {
    let of_caller: Vec<&Meaning> = policies.iter().filter(|policy| policy.namespaces.contains(&namespace)).collect();
    let repos: Vec<char> = repo.into_iter().chain(words(&of_caller, |policy| policy.attested_repo)).collect();
    let branches: Vec<char> = branch.into_iter().chain(words(&of_caller, |policy| policy.attested_branch)).collect();
    let contradict = |all: &[char]| all.iter().any(|one| *one != all[0]);
    if contradict(&repos) || contradict(&branches) {
        return "attestation_failed".into();
    }
    let (Some(repo), Some(branch)) = (repos.first(), branches.first()) else {
        return if repos.is_empty() { "repo_missing" } else { "branch_missing" }.into();
    };
    let (mut allowing, mut denying, mut unattested) = (vec![], false, false);
    for (place, policy) in policies.iter().enumerate() {
        if !policy.namespaces.contains(&namespace) {
            continue;
        }
        let absent = is_absent(policy.attested_repo) || is_absent(policy.attested_branch);
        unattested |= absent;
        let fits = policy.repos.contains(repo) && policy.branches.contains(branch);
        let condition = policy.condition.unwrap_or(Verdict::True);
        if policy.denies {
            denying |= fits && condition != Verdict::False;
        } else if fits && !absent && condition == Verdict::True {
            allowing.push(format!("p{place}"));
        }
    }
    match (allowing.is_empty(), denying, unattested) {
        (true, _, true) => "attestation_failed".into(),
        (_, true, _) => "denied_by_policy".into(),
        (true, false, false) => "no_policy_matches".into(),
        (false, false, _) => format!("{repo}@{branch}: {}", allowing.join(" ")),
    }
}

fn told(decision: &Decision) -> String {
    match decision {
        Decision::Granted(grant) => {
            assert_eq!(paths(grant), names(&grant.policies));
            format!("{}@{}: {}", grant.request.repo, grant.request.branch, paths(grant).join(" "))
        }
        Decision::Denied(denial) => denial.as_str().to_owned(),
        Decision::LeftOut(part) => part.as_str().to_owned(),
    }
}

fn some_of() -> impl Strategy<Value = Vec<char>> {
    prop::sample::subsequence(vec!['l', 'r'], 1..=2)
}

fn word() -> impl Strategy<Value = Option<Word>> {
    let word = prop_oneof![
        6 => Just(Word::Left), 1 => Just(Word::Right), 1 => Just(Word::Errs), 1 => Just(Word::NoName), 1 => Just(Word::OtherType),
    ];
    prop::option::weighted(0.3, word)
}

fn meaning() -> impl Strategy<Value = Meaning> {
    let condition = prop::option::weighted(
        0.4,
        prop_oneof![3 => Just(Verdict::True), 1 => Just(Verdict::False), 1 => Just(Verdict::Errs)],
    );
    (prop::bool::weighted(0.2), some_of(), some_of(), some_of(), word(), word(), condition).prop_map(
        |(denies, namespaces, repos, branches, attested_repo, attested_branch, condition)| Meaning {
            denies,
            namespaces,
            repos,
            branches,
            attested_repo,
            attested_branch,
            condition,
        },
    )
}

fn facts() -> Facts {
    labelled(&[("left", "l"), ("right", "r")])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn decisions_and_explanations_say_what_the_oracle_says(meanings in prop::collection::vec(meaning(), 0..6)) {
        let set = PolicySet::new(meanings.iter().enumerate().map(|(place, one)| one.written(&format!("p{place}"))));
        let facts = facts();
        for namespace in ['l', 'r'] {
            let caller = pod(&namespace.to_string(), "bot");
            for repo in [None, Some('l'), Some('r')] {
                for branch in [None, Some('l'), Some('r')] {
                    let text = |part: Option<char>| part.map(String::from);
                    let asked = asks_partly(text(repo).as_deref(), text(branch).as_deref());
                    let decided = told(&set.decide(&caller, &facts, &asked));
                    prop_assert_eq!(&decided, &oracle(&meanings, namespace, repo, branch), "{:?} {:?} {:?}", namespace, repo, branch);
                    let explained = set.explain(&caller, &facts, &asked);
                    prop_assert_eq!(explained.allowed, decided.contains('@'));
                    let matching = explained.policies.iter().filter(|one| one.matched);
                    if explained.allowed {
                        prop_assert_eq!(explained.secrets.iter().map(|one| &*one.secret.path).collect::<Vec<_>>(), matching.map(|one| &*one.name).collect::<Vec<_>>());
                    } else {
                        prop_assert_eq!(explained.reason, &*decided);
                    }
                    // The decision depends only on facts that are reported as needed.
                    if !set.needs(&caller, &asked).pod {
                        prop_assert_eq!(told(&set.decide(&caller, &Facts::default(), &asked)), decided);
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_tried_has_all_outcomes() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    let policies = prop::collection::vec(meaning(), 0..6);
    for _ in 0..2000 {
        let meanings = policies.new_tree(&mut runner).expect("a tree").current();
        let outcome = oracle(&meanings, 'l', Some('l'), Some('l'));
        let kind = if outcome.contains('@') { "granted".to_owned() } else { outcome };
        *seen.entry(kind).or_default() += 1;
    }
    assert!(seen.len() == 4 && seen.values().all(|count| *count > 100), "{seen:?}");
}
