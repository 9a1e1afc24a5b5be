//! Replay of recorded requests: what is known differs or not, and what is not known is not guessed.

use super::{about, asks, pod, policy};
use crate::policy::{Difference, Policy, PolicySet, RecordedRequest, RecordedVerdict, Replay, Replayed};

const ANYONE: &str = "subjects: [{kubernetes: {namespaces: ['**'], serviceAccounts: ['**']}}]\nbranches: ['**']\n";

fn allow(name: &str, lines: &str) -> Policy {
    let repos = if lines.contains("repos:") { "" } else { "repos: ['**']\n" };
    let secrets = if lines.contains("secrets:") { "" } else { "\nsecrets: [{store: vault, path: 'a/{repo}'}]" };
    policy(name, &format!("{ANYONE}{repos}{lines}{secrets}"))
}

fn deny(name: &str, lines: &str) -> Policy {
    policy(name, &format!("{ANYONE}effect: deny\nrepos: ['**']\n{lines}"))
}

fn recorded(verdict: RecordedVerdict, policies: &[&str]) -> RecordedRequest {
    RecordedRequest {
        caller: pod("ci", "bot"),
        request: about("site", "main"),
        asked: asks("site", "main"),
        verdict,
        policies: policies.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn replayed(before: Vec<Policy>, after: Vec<Policy>, recorded: &RecordedRequest) -> Replayed {
    Replay::new(&PolicySet::new(before), &PolicySet::new(after), &|_| true).compare(recorded)
}

fn differs(allowed: (bool, bool), gained: &[&str], lost: &[&str]) -> Replayed {
    let owned = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
    Replayed::Differs(Difference { allowed, gained: owned(gained), lost: owned(lost) })
}

#[test]
fn what_the_log_holds_is_decided_anew() {
    let allowed = recorded(RecordedVerdict::Allowed, &["a"]);
    let denied = recorded(RecordedVerdict::NoPolicyMatched, &[]);
    assert_eq!(replayed(vec![allow("a", "")], vec![allow("a", "description: x")], &allowed), Replayed::Same);
    let narrow = || vec![allow("a", "repos: [shop]")];
    assert_eq!(replayed(vec![allow("a", "")], narrow(), &allowed), differs((true, false), &[], &["vault:a/site"]));
    assert_eq!(replayed(narrow(), vec![allow("a", "")], &denied), differs((false, true), &["vault:a/site"], &[]));
    let condition = |text: &str| allow("a", &format!("condition: '{text}'"));
    let elsewhere = vec![condition("caller.namespace == \"web\"")];
    assert_eq!(replayed(vec![allow("a", "")], elsewhere, &allowed), differs((true, false), &[], &["vault:a/site"]));
    let here = vec![condition("caller.namespace == \"ci\" && request.branch == \"main\"")];
    assert_eq!(replayed(vec![allow("a", "")], here, &allowed), Replayed::Same);
    assert_eq!(
        replayed(vec![allow("a", "")], vec![allow("a", ""), deny("d", "")], &allowed),
        differs((true, false), &[], &["vault:a/site"])
    );
    let keys = allow("a", "secrets: [{store: vault, path: 'a/{repo}', keys: [K]}]");
    assert_eq!(
        replayed(vec![allow("a", "")], vec![keys], &allowed),
        differs((true, true), &["vault:a/site (keys K)"], &["vault:a/site"])
    );
    // Ways of no effect.
    assert_eq!(
        replayed(vec![allow("a", "")], vec![allow("a", ""), deny("d", "mode: audit")], &allowed),
        Replayed::Same
    );
    let denied = recorded(RecordedVerdict::DeniedByPolicy, &["d"]);
    let both = || vec![allow("a", ""), deny("d", "")];
    assert_eq!(replayed(both(), vec![allow("a", "")], &denied), differs((false, true), &["vault:a/site"], &[]));
}

#[test]
fn what_it_does_not_hold_follows_from_the_record_or_is_not_guessed() {
    const ATTEST: &str = "attest: {repo: 'caller.pod.labels.repo'}";
    const LABEL: &str = "condition: 'caller.pod.labels.team == \"a\"'";
    let allowed = recorded(RecordedVerdict::Allowed, &["a"]);
    let denied = recorded(RecordedVerdict::NoPolicyMatched, &[]);
    let unknown = |name: &str| Replayed::Unknown(name.into());
    let with = |lines: &str, more: &str| vec![allow("a", &format!("{lines}\n{more}"))];
    // It matched, so its attestation and its condition held; they are the same in the new one.
    for part in [ATTEST, LABEL] {
        assert_eq!(replayed(with(part, ""), with(part, "ticket: {ttl: 1m}"), &allowed), Replayed::Same, "{part}");
        let narrow = with(part, "repos: [shop]");
        assert_eq!(
            replayed(with(part, ""), narrow, &allowed),
            differs((true, false), &[], &["vault:a/site"]),
            "{part}"
        );
        // Another one is not known.
        let other = part.replace("labels", "annotations");
        assert_eq!(replayed(with(part, ""), with(&other, ""), &allowed), unknown("a"), "{part}");
        assert_eq!(replayed(with("", ""), with(part, ""), &allowed), unknown("a"), "{part}");
        // Without it the rest decides.
        assert_eq!(replayed(with(part, ""), with("", ""), &allowed), Replayed::Same, "{part}");
    }
    // All else fits and it did not match, so the condition did not hold.
    assert_eq!(replayed(with(LABEL, ""), with("", ""), &denied), differs((false, true), &["vault:a/site"], &[]));
    assert_eq!(replayed(with(LABEL, ""), with(LABEL, "description: x"), &denied), Replayed::Same);
    // Two open parts tell nothing.
    let two = format!("{ATTEST}\n{LABEL}");
    assert_eq!(replayed(with(&two, ""), with(LABEL, ""), &denied), unknown("a"));
    // A record that is older than the policy tells nothing about it.
    let (before, after) = (PolicySet::new(with(LABEL, "")), PolicySet::new(with(LABEL, "repos: [shop, site]")));
    assert_eq!(Replay::new(&before, &after, &|_| false).compare(&allowed), unknown("a"));
    // One that stays as it is may undo a difference.
    let stays = || allow("z", LABEL);
    let older = |before: Vec<Policy>, after: Vec<Policy>| {
        Replay::new(&PolicySet::new(before), &PolicySet::new(after), &|_| false).compare(&allowed)
    };
    let alone = vec![stays()];
    assert_eq!(older(vec![allow("a", ""), stays()], alone), unknown("z"));
    assert_eq!(older(vec![allow("a", ""), stays()], vec![allow("a", "ticket: {ttl: 1m}"), stays()]), Replayed::Same);
}
