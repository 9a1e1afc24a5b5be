//! Replay of recorded requests: known differences are reported, and unknown ones are not guessed.

use super::{pod, policy, request_for, verified_request};
use crate::policy::{DecisionDifference, Policy, PolicySet, RecordedDecision, RecordedRequest, Replay, ReplayResult};

const ANY_POD: &str = "subjects: [{kubernetes: {namespaces: ['**'], serviceAccounts: ['**']}}]\nbranches: ['**']\n";

fn allow(name: &str, lines: &str) -> Policy {
    let repos = if lines.contains("repos:") { "" } else { "repos: ['**']\n" };
    let secrets = if lines.contains("secrets:") { "" } else { "\nsecrets: [{store: vault, path: 'a/{repo}'}]" };
    policy(name, &format!("{ANY_POD}{repos}{lines}{secrets}"))
}

fn deny(name: &str, lines: &str) -> Policy {
    policy(name, &format!("{ANY_POD}effect: deny\nrepos: ['**']\n{lines}"))
}

fn recorded(decision: RecordedDecision, policies: &[&str]) -> RecordedRequest {
    RecordedRequest {
        caller: pod("ci", "bot"),
        request: verified_request("site", "main"),
        unverified_request: request_for("site", "main"),
        decision,
        policies: policies.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn replayed(before: Vec<Policy>, after: Vec<Policy>, recorded: &RecordedRequest) -> ReplayResult {
    Replay::new(&PolicySet::new(before), &PolicySet::new(after), &|_| true).compare(recorded)
}

fn differs(allowed: (bool, bool), gained: &[&str], lost: &[&str]) -> ReplayResult {
    let owned = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
    ReplayResult::Differs(DecisionDifference { allowed, gained: owned(gained), lost: owned(lost) })
}

#[test]
fn logged_values_are_evaluated_again() {
    let allowed = recorded(RecordedDecision::Allowed, &["a"]);
    let denied = recorded(RecordedDecision::NoPolicyMatched, &[]);
    assert_eq!(replayed(vec![allow("a", "")], vec![allow("a", "description: x")], &allowed), ReplayResult::Same);
    let narrow = || vec![allow("a", "repos: [shop]")];
    assert_eq!(replayed(vec![allow("a", "")], narrow(), &allowed), differs((true, false), &[], &["vault:a/site"]));
    assert_eq!(replayed(narrow(), vec![allow("a", "")], &denied), differs((false, true), &["vault:a/site"], &[]));
    let condition = |text: &str| allow("a", &format!("condition: '{text}'"));
    let elsewhere = vec![condition("caller.namespace == \"web\"")];
    assert_eq!(replayed(vec![allow("a", "")], elsewhere, &allowed), differs((true, false), &[], &["vault:a/site"]));
    let here = vec![condition("caller.namespace == \"ci\" && request.branch == \"main\"")];
    assert_eq!(replayed(vec![allow("a", "")], here, &allowed), ReplayResult::Same);
    assert_eq!(
        replayed(vec![allow("a", "")], vec![allow("a", ""), deny("d", "")], &allowed),
        differs((true, false), &[], &["vault:a/site"])
    );
    let keys = allow("a", "secrets: [{store: vault, path: 'a/{repo}', keys: [K]}]");
    assert_eq!(
        replayed(vec![allow("a", "")], vec![keys], &allowed),
        differs((true, true), &["vault:a/site (keys K)"], &["vault:a/site"])
    );
    // A policy in shadow mode has no effect.
    assert_eq!(
        replayed(vec![allow("a", "")], vec![allow("a", ""), deny("d", "mode: audit")], &allowed),
        ReplayResult::Same
    );
    let denied = recorded(RecordedDecision::DeniedByPolicy, &["d"]);
    let both = || vec![allow("a", ""), deny("d", "")];
    assert_eq!(replayed(both(), vec![allow("a", "")], &denied), differs((false, true), &["vault:a/site"], &[]));
}

#[test]
fn other_values_follow_from_the_record_or_are_unknown() {
    const ATTEST: &str = "attest: {repo: 'caller.pod.labels.repo'}";
    const LABEL: &str = "condition: 'caller.pod.labels.team == \"a\"'";
    let allowed = recorded(RecordedDecision::Allowed, &["a"]);
    let denied = recorded(RecordedDecision::NoPolicyMatched, &[]);
    let unknown = |name: &str| ReplayResult::Unknown(name.into());
    let with = |lines: &str, more: &str| vec![allow("a", &format!("{lines}\n{more}"))];
    // The policy matched, so its attestation and condition matched; they are the same in the new version.
    for part in [ATTEST, LABEL] {
        assert_eq!(replayed(with(part, ""), with(part, "ticket: {ttl: 1m}"), &allowed), ReplayResult::Same, "{part}");
        let narrow = with(part, "repos: [shop]");
        assert_eq!(
            replayed(with(part, ""), narrow, &allowed),
            differs((true, false), &[], &["vault:a/site"]),
            "{part}"
        );
        // Whether a different part matches is unknown.
        let other = part.replace("labels", "annotations");
        assert_eq!(replayed(with(part, ""), with(&other, ""), &allowed), unknown("a"), "{part}");
        assert_eq!(replayed(with("", ""), with(part, ""), &allowed), unknown("a"), "{part}");
        // Without the part, the other parts decide.
        assert_eq!(replayed(with(part, ""), with("", ""), &allowed), ReplayResult::Same, "{part}");
    }
    // The policy did not match although all other parts do, so the condition was false.
    assert_eq!(replayed(with(LABEL, ""), with("", ""), &denied), differs((false, true), &["vault:a/site"], &[]));
    assert_eq!(replayed(with(LABEL, ""), with(LABEL, "description: x"), &denied), ReplayResult::Same);
    // With two unknown parts, it is unknown which of them did not match.
    let two = format!("{ATTEST}\n{LABEL}");
    assert_eq!(replayed(with(&two, ""), with(LABEL, ""), &denied), unknown("a"));
    // If the policy has changed since the record, the record does not show whether it matches.
    let (before, after) = (PolicySet::new(with(LABEL, "")), PolicySet::new(with(LABEL, "repos: [shop, site]")));
    assert_eq!(Replay::new(&before, &after, &|_| false).compare(&allowed), unknown("a"));
    // An undecided policy that is the same in both sets may remove a difference.
    let stays = || allow("z", LABEL);
    let older = |before: Vec<Policy>, after: Vec<Policy>| {
        Replay::new(&PolicySet::new(before), &PolicySet::new(after), &|_| false).compare(&allowed)
    };
    let alone = vec![stays()];
    assert_eq!(older(vec![allow("a", ""), stays()], alone), unknown("z"));
    assert_eq!(
        older(vec![allow("a", ""), stays()], vec![allow("a", "ticket: {ttl: 1m}"), stays()]),
        ReplayResult::Same
    );
}
