//! Shadow mode: what policies with `mode: audit` would change about the decision of the policies that are enforced.
//!
//! Each is judged alone: the decision with it is compared with the decision without it. So its attestation counts as well,
//! which may refuse a request, and so does its `delivery`.

use super::evaluation::{Attestation, Evaluation, Mismatch};
use super::matching::{Effect, Policy};
use super::outcome::{Decision, Delivery, Grant};
use super::set::PolicySet;
use crate::model::branch::Branch;
use crate::model::caller::Caller;
use crate::model::facts::{Facts, Needs};
use crate::model::repo::Repo;
use crate::model::request::{Request, UnverifiedRequest};
use crate::model::shadow::{ShadowOutcome, ShadowVerdict};

/// The maximum number of policies in shadow mode that are evaluated for one request: those of namespaces last, in order of name.
const MAX_SHADOWS: usize = 100;

/// The policies in shadow mode that speak of a caller and could match its request.
#[derive(Debug)]
pub struct Shadows<'s> {
    set: &'s PolicySet,
    places: Vec<usize>,
}

/// The evaluation of one policy in shadow mode.
pub(super) struct ShadowEvaluation {
    pub(super) mismatch: Option<Mismatch>,
    /// Whether all its paths can be filled in.
    pub(super) has_paths: bool,
    pub(super) outcome: ShadowOutcome,
}

/// The decision of the policies that are enforced, and what it was made of.
pub(super) struct Baseline<'a> {
    set: &'a PolicySet,
    caller: &'a Caller,
    facts: &'a Facts,
    asked: &'a UnverifiedRequest,
    /// Whether a way of delivery is enough.
    suffices: &'a dyn Fn(Delivery) -> bool,
    attestations: Vec<Attestation<'a>>,
    /// The request and the policies that match it, with their places; none if the request is refused before that.
    matching: Option<(Request, Vec<(usize, &'a Policy)>)>,
    decision: Decision,
}

impl PolicySet {
    /// The policies in shadow mode that have to be evaluated for a request. None: there are none.
    #[must_use]
    pub fn shadows(&self, caller: &Caller, asked: &UnverifiedRequest) -> Option<Shadows<'_>> {
        let shadow = self.shadow_index()?;
        let repo = asked.repo.as_ref().map(Repo::as_str);
        let branch = asked.branch.as_ref().map(Branch::as_str);
        let mut places = self.found(&shadow.index, caller, repo, |place| {
            let policy = &self.policies()[place];
            let fits = repo.is_none_or(|repo| policy.repos.matches(repo))
                && branch.is_none_or(|branch| policy.branches.matches(branch));
            fits && policy.has_subject(caller)
        });
        places.extend(self.found(&shadow.attesting, caller, repo, |place| self.policies()[place].has_subject(caller)));
        places.sort_unstable();
        places.dedup();
        if places.len() > MAX_SHADOWS {
            // Tenants choose the names of theirs, and must not crowd out others.
            places.sort_by_key(|place| self.policies()[*place].name().contains('/'));
            places.truncate(MAX_SHADOWS);
            places.sort_unstable();
        }
        (!places.is_empty()).then_some(Shadows { set: self, places })
    }
}

impl Shadows<'_> {
    /// The facts that their expressions name.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let policies = self.places.iter().map(|place| &self.set.policies()[*place]);
        policies.fold(Needs::NOTHING, |needs, policy| needs.and(policy.attest.needs()).and(policy.condition_needs()))
    }

    /// What each would change. Those that neither match nor change anything are left out.
    #[must_use]
    pub fn compare_shadows(
        &self,
        caller: &Caller,
        facts: &Facts,
        asked: &UnverifiedRequest,
        suffices: &dyn Fn(Delivery) -> bool,
    ) -> Vec<ShadowVerdict> {
        let mut baseline = Baseline::new(self.set, caller, facts, asked, suffices);
        let mut verdicts = Vec::new();
        for place in &self.places {
            let ShadowEvaluation { mismatch, has_paths, outcome } = baseline.evaluate_enforced(*place);
            let matches = mismatch.is_none() && has_paths;
            if matches || outcome != ShadowOutcome::NoChange {
                let policy = &self.set.policies()[*place];
                verdicts.push(ShadowVerdict { policy: policy.name.clone(), denies: policy.denies(), outcome });
            }
        }
        verdicts
    }
}

impl<'a> Baseline<'a> {
    pub(super) fn new(
        set: &'a PolicySet,
        caller: &'a Caller,
        facts: &'a Facts,
        asked: &'a UnverifiedRequest,
        suffices: &'a dyn Fn(Delivery) -> bool,
    ) -> Self {
        let attestations = set.attestations(caller, facts, asked);
        let (matching, decision) = {
            let evaluation = Evaluation::new(caller, facts, asked, &attestations);
            match evaluation.request() {
                Ok(request) => {
                    let matching = matching(set, &evaluation, &request);
                    let decision = evaluation.conclude(request.clone(), &policies(&matching));
                    (Some((request, matching)), decision)
                }
                Err(refusal) => (None, refusal),
            }
        };
        Self { set, caller, facts, asked, suffices, attestations, matching, decision }
    }

    /// Evaluates the policy at this place as if it were enforced.
    pub(super) fn evaluate_enforced(&mut self, place: usize) -> ShadowEvaluation {
        let policy: &'a Policy = &self.set.policies()[place];
        let own = (policy.attest.is_some() && policy.has_subject(self.caller))
            .then(|| self.set.attestation(place, self.caller, self.facts, self.asked));
        let at = self.attestations.partition_point(|one| one.place < place);
        let attests = own.is_some();
        if let Some(own) = own {
            self.attestations.insert(at, own);
        }
        let shadowed = self.evaluated(place, policy);
        if attests {
            self.attestations.remove(at);
        }
        shadowed
    }

    fn evaluated(&self, place: usize, policy: &'a Policy) -> ShadowEvaluation {
        let evaluation = Evaluation::new(self.caller, self.facts, self.asked, &self.attestations);
        let mismatch = evaluation.mismatch(place, policy);
        let request = match evaluation.request() {
            Ok(request) => request,
            Err(refusal) => {
                return ShadowEvaluation { mismatch, has_paths: true, outcome: self.outcome(&refusal) };
            }
        };
        let mut matching = match &self.matching {
            Some((same, known)) if *same == request => known.clone(),
            _ => matching(self.set, &evaluation, &request),
        };
        let has_paths = match &policy.effect {
            Effect::Allow(terms) => terms.fill(self.caller, &request).is_some(),
            Effect::Deny => true,
        };
        if mismatch.is_none() {
            let at = matching.partition_point(|(other, _)| *other < place);
            matching.insert(at, (place, policy));
        }
        let decision = evaluation.conclude(request, &policies(&matching));
        ShadowEvaluation { mismatch, has_paths, outcome: self.outcome(&decision) }
    }

    fn outcome(&self, with: &Decision) -> ShadowOutcome {
        match (self.allowed(&self.decision), self.allowed(with)) {
            (None, Some(_)) => ShadowOutcome::WouldAllow,
            (Some(_), None) => ShadowOutcome::WouldDeny,
            (Some(before), Some(after)) if after.secrets.iter().any(|secret| !before.secrets.contains(secret)) => {
                ShadowOutcome::WouldAllow
            }
            (Some(_), Some(_)) | (None, None) => ShadowOutcome::NoChange,
        }
    }

    fn allowed<'d>(&self, decision: &'d Decision) -> Option<&'d Grant> {
        match decision {
            Decision::Granted(grant) => Some(grant).filter(|grant| (self.suffices)(grant.delivery)),
            Decision::Denied(_) | Decision::LeftOut(_) => None,
        }
    }
}

/// The enforced policies that match, with their places.
fn matching<'s>(set: &'s PolicySet, evaluation: &Evaluation<'_>, request: &Request) -> Vec<(usize, &'s Policy)> {
    set.candidates(evaluation.caller, request)
        .filter(|(place, policy)| evaluation.mismatch(*place, policy).is_none())
        .collect()
}

fn policies<'s>(matching: &[(usize, &'s Policy)]) -> Vec<&'s Policy> {
    matching.iter().map(|(_, policy)| *policy).collect()
}
