//! Replay: compares the decisions of two sets of policies on a request from the audit log.
//!
//! The log has the caller, repo and branch, and the policies that decided, but no claims, groups, labels or params. If a part of a
//! policy (such as its condition) uses these, only the recorded decision can show whether the part matches: in the old set, and in
//! the new set if the part is the same in both. If it stays unknown for a policy that differs between the sets, the result is
//! `Unknown`; nothing is guessed.

use super::cel::Inputs;
use super::compiled_policy::{Effect, GrantTerms, Policy};
use super::placeholder::{Placeholder, Variable};
use super::set::PolicySet;
use super::subject::Subject;
use super::template::Segment;
use crate::model::caller::Caller;
use crate::model::facts::Facts;
use crate::model::request::{Request, UnverifiedRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A request from the audit log.
#[derive(Debug)]
pub struct RecordedRequest {
    /// The caller as the log has it, without groups and claims.
    pub caller: Caller,
    /// Repo and branch.
    pub request: Request,
    /// The request as expressions see it, with the client address and the time.
    pub unverified_request: UnverifiedRequest,
    /// The recorded decision.
    pub decision: RecordedDecision,
    /// The policies that the event names.
    pub policies: BTreeSet<String>,
}

/// The decision on a recorded request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedDecision {
    /// The policies of the event allowed it.
    Allowed,
    /// The deny policies of the event denied it.
    DeniedByPolicy,
    /// No allow policy matched.
    NoPolicyMatched,
}

/// Compares the active set of policies with the set that would replace it.
pub struct Replay<'s> {
    before: &'s PolicySet,
    after: &'s PolicySet,
    /// Whether a policy of the active set has not changed since the event. Only then does the recorded decision show whether it
    /// matched.
    unchanged_since: &'s (dyn Fn(&str) -> bool + 's),
}

/// The result of replaying one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayResult {
    /// The decisions are equal.
    Same,
    /// The decisions differ.
    Differs(DecisionDifference),
    /// This policy needs values that the log does not have.
    Unknown(Arc<str>),
}

/// A difference between two decisions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DecisionDifference {
    /// Whether the request is allowed by the old and by the new set.
    pub allowed: (bool, bool),
    /// Secrets that only the new set grants, as `store:path`, with the patterns of their keys.
    pub gained: Vec<String>,
    /// Secrets that only the old set grants, in the same form.
    pub lost: Vec<String>,
}

/// Whether a part of a policy matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PartMatch {
    Yes,
    No,
    Unknown,
}

/// Whether four parts match, in this order: subjects, attestation, condition, values of placeholders. Whether the other parts
/// (repos and branches) match is always known.
type PartMatches = [PartMatch; 4];

/// The decision of one set, as far as it is known.
#[derive(Default)]
struct SetDecision {
    denied: bool,
    /// The names of the allow policies that match.
    granting: BTreeSet<Arc<str>>,
    /// In the form of [`DecisionDifference::gained`].
    secrets: BTreeSet<String>,
    /// A policy that is the same in both sets and for which it is unknown whether it matches.
    undecided: Option<Arc<str>>,
}

impl<'s> Replay<'s> {
    /// `unchanged_since` says whether a policy of the old set has not changed since the event was recorded.
    pub fn new(before: &'s PolicySet, after: &'s PolicySet, unchanged_since: &'s (dyn Fn(&str) -> bool + 's)) -> Self {
        Self { before, after, unchanged_since }
    }

    /// Compares the decisions on a request.
    #[must_use]
    pub fn compare(&self, recorded: &RecordedRequest) -> ReplayResult {
        let mut parts_before: BTreeMap<&str, PartMatches> = BTreeMap::new();
        let (mut before, mut after) = (SetDecision::default(), SetDecision::default());
        for policy in self.before.possibly_relevant_policies(&recorded.caller, &recorded.request) {
            let parts = self.match_old_parts(policy, recorded);
            parts_before.insert(&policy.name, parts);
            let is_same = self.after.get(&policy.name).is_some_and(|other| other.revision == policy.revision);
            if let Some(unknown) = before.add(policy, parts, recorded, is_same) {
                return ReplayResult::Unknown(unknown);
            }
        }
        for policy in self.after.possibly_relevant_policies(&recorded.caller, &recorded.request) {
            let old_version = self.before.get(&policy.name).filter(|other| !other.is_shadow());
            let mut parts = match_parts(policy, recorded);
            if let (Some(old_version), Some(old_parts)) = (old_version, parts_before.get(&*policy.name)) {
                for (index, part) in parts.iter_mut().enumerate() {
                    if *part == PartMatch::Unknown && is_same_part(index, old_version, policy) {
                        *part = old_parts[index];
                    }
                }
            }
            let is_same = old_version.is_some_and(|other| other.revision == policy.revision);
            if let Some(unknown) = after.add(policy, parts, recorded, is_same) {
                return ReplayResult::Unknown(unknown);
            }
        }
        compare_decisions(&before, &after)
    }

    /// Whether the parts of a policy of the old set match. A part that cannot be computed is inferred from the recorded decision
    /// where that is possible.
    fn match_old_parts(&self, policy: &Policy, recorded: &RecordedRequest) -> PartMatches {
        let mut parts = match_parts(policy, recorded);
        if !(self.unchanged_since)(&policy.name) {
            return parts;
        }
        let named = recorded.policies.contains(&*policy.name);
        let matched = match (recorded.decision, policy.denies()) {
            (RecordedDecision::Allowed, false) | (RecordedDecision::DeniedByPolicy, true) => named,
            (RecordedDecision::Allowed | RecordedDecision::NoPolicyMatched, _) => false,
            // The event names only the deny policies, so it does not show whether this allow policy matched.
            (RecordedDecision::DeniedByPolicy, false) => return parts,
        };
        if matched {
            return [PartMatch::Yes; 4];
        }
        let Request { repo, branch } = &recorded.request;
        let fits = policy.may_match(Some(repo.as_str()), Some(branch.as_str()));
        let unknown = parts.iter().filter(|part| **part == PartMatch::Unknown).count();
        if fits && unknown == 1 && !parts.contains(&PartMatch::No) {
            // The policy did not match although all other parts match, so this part did not.
            parts.iter_mut().filter(|part| **part == PartMatch::Unknown).for_each(|part| *part = PartMatch::No);
        }
        parts
    }
}

impl SetDecision {
    /// Adds a policy. Returns its name if it is not the same in both sets and its effect on the request is unknown.
    fn add(
        &mut self,
        policy: &Policy,
        parts: PartMatches,
        recorded: &RecordedRequest,
        is_same: bool,
    ) -> Option<Arc<str>> {
        let [subjects, attestation, ..] = parts;
        let attests = policy.attest.is_configured();
        // Its attestation may refuse the request even if its patterns do not match.
        let may_refuse = attests && subjects != PartMatch::No && (attestation == PartMatch::Unknown || policy.denies());
        let Request { repo, branch } = &recorded.request;
        let fits = policy.may_match(Some(repo.as_str()), Some(branch.as_str()));
        if may_refuse && !is_same {
            return Some(policy.name.clone());
        }
        if !fits || parts.contains(&PartMatch::No) {
            return None;
        }
        if parts.contains(&PartMatch::Unknown) {
            if !is_same {
                return Some(policy.name.clone());
            }
            self.undecided = Some(policy.name.clone());
            return None;
        }
        match &policy.effect {
            Effect::Deny => self.denied = true,
            Effect::Allow(terms) => {
                if let Some(secrets) = terms.expand(&recorded.caller, &recorded.request) {
                    self.granting.insert(policy.name.clone());
                    let keys = policy.spec.secrets.iter().flatten().map(|secret| secret.keys.as_deref());
                    self.secrets.extend(secrets.iter().zip(keys).map(|(granted, keys)| {
                        let keys: Vec<&str> = keys.unwrap_or_default().iter().flatten().map(String::as_str).collect();
                        let keys = if keys.is_empty() { String::new() } else { format!(" (keys {})", keys.join(", ")) };
                        format!("{}:{}{keys}", granted.secret.store, granted.secret.path)
                    }));
                } else if uses_claims(terms) {
                    if !is_same {
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

fn compare_decisions(before: &SetDecision, after: &SetDecision) -> ReplayResult {
    let allowed = (before.is_allowed(), after.is_allowed());
    let none = BTreeSet::new();
    let secrets = |decision: &SetDecision, allowed: bool| if allowed { decision.secrets.clone() } else { none.clone() };
    let (old, new) = (secrets(before, allowed.0), secrets(after, allowed.1));
    let gained: Vec<String> = new.difference(&old).cloned().collect();
    let lost: Vec<String> = old.difference(&new).cloned().collect();
    if allowed.0 == allowed.1 && gained.is_empty() && lost.is_empty() {
        return ReplayResult::Same;
    }
    // The undecided policy may remove the difference.
    if let Some(undecided) = before.undecided.as_ref().or(after.undecided.as_ref()) {
        return ReplayResult::Unknown(undecided.clone());
    }
    ReplayResult::Differs(DecisionDifference { allowed, gained, lost })
}

/// Whether the parts match, as far as it can be computed.
fn match_parts(policy: &Policy, recorded: &RecordedRequest) -> PartMatches {
    let attestation = match (policy.attest.is_configured(), policy.denies()) {
        // A deny policy matches whether its attestation succeeds or fails.
        (false, _) | (_, true) => PartMatch::Yes,
        (true, false) => PartMatch::Unknown,
    };
    let condition = match &policy.condition {
        None => PartMatch::Yes,
        Some(condition) if condition.uses_only_logged_values() => {
            let inputs = Inputs {
                caller: &recorded.caller,
                facts: &Facts::default(),
                unverified_request: &recorded.unverified_request,
                repo: Some(recorded.request.repo.as_str()),
                branch: Some(recorded.request.branch.as_str()),
            };
            let holds = condition.evaluate_condition(&inputs).unwrap_or(policy.denies());
            if holds { PartMatch::Yes } else { PartMatch::No }
        }
        Some(_) => PartMatch::Unknown,
    };
    let values = match &policy.effect {
        Effect::Allow(terms) if uses_claims(terms) && recorded.caller.service_account().is_none() => PartMatch::Unknown,
        Effect::Allow(_) | Effect::Deny => PartMatch::Yes,
    };
    [match_subjects(policy, &recorded.caller), attestation, condition, values]
}

fn match_subjects(policy: &Policy, caller: &Caller) -> PartMatch {
    if policy.has_subject(caller) {
        return PartMatch::Yes;
    }
    let may_match = |subject: &Subject| match subject {
        Subject::Oidc { issuer, .. } => *issuer == caller.issuer && caller.service_account().is_none(),
        Subject::Kubernetes { .. } => false,
    };
    if policy.subjects.iter().any(may_match) { PartMatch::Unknown } else { PartMatch::No }
}

/// Whether expanding the secrets may need claims. A write body is not examined and counts as needing claims.
fn uses_claims(terms: &GrantTerms) -> bool {
    let is_claim = |segment: &Segment| match segment {
        Segment::Placeholder(Placeholder::Segment(variable) | Placeholder::Path(variable)) => {
            matches!(variable, Variable::Claim(_))
        }
        Segment::Literal(_) => false,
    };
    terms.secrets.iter().any(|secret| secret.write.is_some() || secret.path.segments().iter().any(is_claim))
}

/// Whether a part, by its index in [`PartMatches`], is the same in the specs of both policies.
fn is_same_part(index: usize, one: &Policy, other: &Policy) -> bool {
    let or_null = |value: Option<serde_json::Value>| value.unwrap_or_default();
    let (one, other) = (&one.spec, &other.spec);
    match index {
        0 => or_null(serde_json::to_value(&one.subjects).ok()) == or_null(serde_json::to_value(&other.subjects).ok()),
        1 => or_null(serde_json::to_value(&one.attest).ok()) == or_null(serde_json::to_value(&other.attest).ok()),
        2 => one.condition == other.condition,
        _ => or_null(serde_json::to_value(&one.secrets).ok()) == or_null(serde_json::to_value(&other.secrets).ok()),
    }
}
