//! Replay: what a set of policies would decide on a request of the audit log, compared with the set that was in force.
//!
//! The log holds caller, repo and branch, and which policies decided, but no claims, groups, labels or params. A part of a policy that
//! needs those is known only if the record shows how it came out and the part is the same in both sets. A request for which a
//! policy that differs cannot be decided is not replayed, rather than guessed.

use super::cel::Scene;
use super::matching::{Effect, Policy, Terms};
use super::placeholder::{Placeholder, Source};
use super::set::PolicySet;
use super::subject::Subject;
use super::template::Segment;
use crate::model::caller::Caller;
use crate::model::facts::Facts;
use crate::model::request::{Request, UnverifiedRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A request of the audit log.
#[derive(Debug)]
pub struct RecordedRequest {
    /// The caller as far as the log knows it: without groups and claims.
    pub caller: Caller,
    /// Repo and branch.
    pub request: Request,
    /// The request as an expression sees it.
    pub asked: UnverifiedRequest,
    /// What was decided.
    pub verdict: RecordedVerdict,
    /// The policies that the event names.
    pub policies: BTreeSet<String>,
}

/// What was decided on a recorded request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedVerdict {
    /// It was allowed, by the policies that are named.
    Allowed,
    /// It was denied, by the deny policies that are named.
    DeniedByPolicy,
    /// No allow policy matched.
    NoPolicyMatched,
}

/// A set of policies in force, the one that would replace it, and what the log says about the first.
pub struct Replay<'s> {
    before: &'s PolicySet,
    after: &'s PolicySet,
    /// The policies that have not changed since an event: what the log says is true of them.
    unchanged_since: &'s (dyn Fn(&str) -> bool + 's),
}

/// A difference between two decisions, or why there is none to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// Both decide the same.
    Same,
    /// They differ.
    Differs(Difference),
    /// This policy needs what the log does not hold.
    Unknown(Arc<str>),
}

/// A difference between two decisions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Whether the request is allowed before and after.
    pub allowed: (bool, bool),
    /// Secrets that only the later set grants, as `store:path`, with the patterns of their keys.
    pub gained: Vec<String>,
    /// Secrets that only the earlier set grants.
    pub lost: Vec<String>,
}

/// Whether a part of a policy matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PartMatch {
    Yes,
    No,
    Unknown,
}

/// The parts of a policy that may not be known: subjects, attestation, condition, and values of placeholders.
type Parts = [PartMatch; 4];

/// What a set decides, as far as it differs from the other one.
#[derive(Default)]
struct Outcome {
    denied: bool,
    granting: BTreeSet<Arc<str>>,
    secrets: BTreeSet<String>,
    /// A policy that cannot be decided, and is the same in both sets.
    open: Option<Arc<str>>,
}

impl<'s> Replay<'s> {
    /// Compares two sets. `unchanged_since` says of a policy of the first one whether it is as it was when the event was recorded.
    pub fn new(before: &'s PolicySet, after: &'s PolicySet, unchanged_since: &'s (dyn Fn(&str) -> bool + 's)) -> Self {
        Self { before, after, unchanged_since }
    }

    /// Compares the decisions on a request.
    #[must_use]
    pub fn compare(&self, recorded: &RecordedRequest) -> Replayed {
        let mut parts_before: BTreeMap<&str, Parts> = BTreeMap::new();
        let (mut before, mut after) = (Outcome::default(), Outcome::default());
        for policy in self.before.relevant(&recorded.caller, &recorded.request) {
            let parts = self.parts_before(policy, recorded);
            parts_before.insert(&policy.name, parts);
            let stays = self.after.get(&policy.name).is_some_and(|other| other.revision == policy.revision);
            if let Some(unknown) = before.add(policy, parts, recorded, stays) {
                return Replayed::Unknown(unknown);
            }
        }
        for policy in self.after.relevant(&recorded.caller, &recorded.request) {
            let known = self.before.get(&policy.name).filter(|other| !other.is_shadow());
            let mut parts = parts(policy, recorded);
            if let (Some(known), Some(resolved)) = (known, parts_before.get(&*policy.name)) {
                for (place, part) in parts.iter_mut().enumerate() {
                    if *part == PartMatch::Unknown && is_same_part(place, known, policy) {
                        *part = resolved[place];
                    }
                }
            }
            let stays = known.is_some_and(|other| other.revision == policy.revision);
            if let Some(unknown) = after.add(policy, parts, recorded, stays) {
                return Replayed::Unknown(unknown);
            }
        }
        difference(&before, &after)
    }

    /// The parts of a policy that was in force: what cannot be computed may follow from what was decided.
    fn parts_before(&self, policy: &Policy, recorded: &RecordedRequest) -> Parts {
        let mut parts = parts(policy, recorded);
        if !(self.unchanged_since)(&policy.name) {
            return parts;
        }
        let named = recorded.policies.contains(&*policy.name);
        let matched = match (recorded.verdict, policy.denies()) {
            (RecordedVerdict::Allowed, false) | (RecordedVerdict::DeniedByPolicy, true) => named,
            (RecordedVerdict::Allowed | RecordedVerdict::NoPolicyMatched, _) => false,
            // The record names the deny policies alone.
            (RecordedVerdict::DeniedByPolicy, false) => return parts,
        };
        if matched {
            return [PartMatch::Yes; 4];
        }
        let fits = policy.repos.matches(recorded.request.repo.as_str())
            && policy.branches.matches(recorded.request.branch.as_str());
        let open = parts.iter().filter(|part| **part == PartMatch::Unknown).count();
        if fits && open == 1 && !parts.contains(&PartMatch::No) {
            // All else matches, so it was this.
            parts.iter_mut().filter(|part| **part == PartMatch::Unknown).for_each(|part| *part = PartMatch::No);
        }
        parts
    }
}

impl Outcome {
    /// Adds a policy. Returns its name if it cannot be decided and is not the same in both sets.
    fn add(&mut self, policy: &Policy, parts: Parts, recorded: &RecordedRequest, stays: bool) -> Option<Arc<str>> {
        let [subjects, attestation, ..] = parts;
        let attests = policy.attest.is_some();
        // What it attests may refuse the request whatever its patterns are.
        let may_refuse = attests && subjects != PartMatch::No && (attestation == PartMatch::Unknown || policy.denies());
        let fits = policy.repos.matches(recorded.request.repo.as_str())
            && policy.branches.matches(recorded.request.branch.as_str());
        if may_refuse && !stays {
            return Some(policy.name.clone());
        }
        if !fits || parts.contains(&PartMatch::No) {
            return None;
        }
        if parts.contains(&PartMatch::Unknown) {
            if !stays {
                return Some(policy.name.clone());
            }
            self.open = Some(policy.name.clone());
            return None;
        }
        match &policy.effect {
            Effect::Deny => self.denied = true,
            Effect::Allow(terms) => {
                if let Some(secrets) = terms.fill(&recorded.caller, &recorded.request) {
                    self.granting.insert(policy.name.clone());
                    let keys = policy.spec.secrets.iter().flatten().map(|secret| secret.keys.as_deref());
                    self.secrets.extend(secrets.iter().zip(keys).map(|(granted, keys)| {
                        let keys: Vec<&str> = keys.unwrap_or_default().iter().flatten().map(String::as_str).collect();
                        let keys = if keys.is_empty() { String::new() } else { format!(" (keys {})", keys.join(", ")) };
                        format!("{}:{}{keys}", granted.secret.store, granted.secret.path)
                    }));
                } else if claims_fill(terms) {
                    if !stays {
                        return Some(policy.name.clone());
                    }
                    self.granting.insert(policy.name.clone());
                }
            }
        }
        None
    }

    fn is_allowed(&self) -> bool {
        !self.denied && !self.granting.is_empty()
    }
}

fn difference(before: &Outcome, after: &Outcome) -> Replayed {
    let allowed = (before.is_allowed(), after.is_allowed());
    let none = BTreeSet::new();
    let secrets = |outcome: &Outcome, allowed: bool| if allowed { outcome.secrets.clone() } else { none.clone() };
    let (old, new) = (secrets(before, allowed.0), secrets(after, allowed.1));
    let gained: Vec<String> = new.difference(&old).cloned().collect();
    let lost: Vec<String> = old.difference(&new).cloned().collect();
    if allowed.0 == allowed.1 && gained.is_empty() && lost.is_empty() {
        return Replayed::Same;
    }
    // What it decides might undo the difference.
    if let Some(open) = before.open.as_ref().or(after.open.as_ref()) {
        return Replayed::Unknown(open.clone());
    }
    Replayed::Differs(Difference { allowed, gained, lost })
}

/// The parts as far as they can be computed.
fn parts(policy: &Policy, recorded: &RecordedRequest) -> Parts {
    let attestation = match (policy.attest.is_some(), policy.denies()) {
        // A deny policy matches with its attestation or without.
        (false, _) | (_, true) => PartMatch::Yes,
        (true, false) => PartMatch::Unknown,
    };
    let condition = match &policy.condition {
        None => PartMatch::Yes,
        Some(condition) if condition.is_of_the_log() => {
            let scene = Scene {
                caller: &recorded.caller,
                facts: &Facts::default(),
                asked: &recorded.asked,
                repo: Some(recorded.request.repo.as_str()),
                branch: Some(recorded.request.branch.as_str()),
            };
            let holds = condition.evaluate_condition(&scene).unwrap_or(policy.denies());
            if holds { PartMatch::Yes } else { PartMatch::No }
        }
        Some(_) => PartMatch::Unknown,
    };
    let values = match &policy.effect {
        Effect::Allow(terms) if claims_fill(terms) && recorded.caller.service_account().is_none() => PartMatch::Unknown,
        Effect::Allow(_) | Effect::Deny => PartMatch::Yes,
    };
    [subjects(policy, &recorded.caller), attestation, condition, values]
}

fn subjects(policy: &Policy, caller: &Caller) -> PartMatch {
    if policy.has_subject(caller) {
        return PartMatch::Yes;
    }
    let may = |subject: &Subject| match subject {
        Subject::Oidc { issuer, .. } => *issuer == caller.issuer && caller.service_account().is_none(),
        Subject::Kubernetes { .. } => false,
    };
    if policy.subjects.iter().any(may) { PartMatch::Unknown } else { PartMatch::No }
}

fn claims_fill(terms: &Terms) -> bool {
    let is_claim = |segment: &Segment| match segment {
        Segment::Filled(Placeholder::One(source) | Placeholder::Path(source)) => matches!(source, Source::Claim(_)),
        Segment::Literal(_) => false,
    };
    terms.secrets.iter().any(|term| term.write.is_some() || term.path.segments().iter().any(is_claim))
}

/// Whether a part, by its place in [`Parts`], is written in the same way in both.
fn is_same_part(place: usize, one: &Policy, other: &Policy) -> bool {
    let text = |value: Option<serde_json::Value>| value.unwrap_or_default();
    let (one, other) = (&one.spec, &other.spec);
    match place {
        0 => text(serde_json::to_value(&one.subjects).ok()) == text(serde_json::to_value(&other.subjects).ok()),
        1 => text(serde_json::to_value(&one.attest).ok()) == text(serde_json::to_value(&other.attest).ok()),
        2 => one.condition == other.condition,
        _ => text(serde_json::to_value(&one.secrets).ok()) == text(serde_json::to_value(&other.secrets).ok()),
    }
}
