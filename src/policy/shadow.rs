//! Shadow mode: what each policy with `mode: audit` would change if it were enforced.
//!
//! Each policy is evaluated separately: the decision with it is compared with the decision without it. Its attestation, which may
//! refuse a request, and its `delivery` count as if it were enforced.

use super::cel::Inputs;
use super::compiled_policy::Policy;
use super::evaluation::{Attestation, Evaluation, Mismatch};
use super::outcome::{AllowedDeliveries, Decision, Grant};
use super::set::PolicySet;
use crate::model::caller::Caller;
use crate::model::facts::{Facts, Needs};
use crate::model::request::{Request, UnverifiedRequest};
use crate::model::shadow::{ShadowOutcome, ShadowVerdict};

/// Maximum number of policies in shadow mode that are evaluated for one request; further ones are skipped. The order is by name,
/// but policies of namespaces (`namespace/name`) come last.
const MAX_SHADOW_POLICIES: usize = 100;

/// The policies in shadow mode that could match a request, or attest it.
#[derive(Debug)]
pub struct ShadowPolicies<'s> {
    set: &'s PolicySet,
    positions: Vec<usize>,
}

/// The evaluation of one policy in shadow mode.
pub(super) struct ShadowEvaluation {
    pub(super) mismatch: Option<Mismatch>,
    /// Whether the path and write body of every secret can be expanded.
    pub(super) can_expand_secrets: bool,
    pub(super) outcome: ShadowOutcome,
}

/// The decision of the enforced policies, with its inputs.
pub(super) struct Baseline<'a> {
    set: &'a PolicySet,
    stated_inputs: Inputs<'a>,
    /// Whether the request can be answered by one of the deliveries that a grant allows.
    is_deliverable: &'a dyn Fn(AllowedDeliveries) -> bool,
    attestations: Vec<Attestation<'a>>,
    /// The request and the enforced policies that match it, with their positions. `None` if the request is refused before
    /// policies are matched.
    matching: Option<(Request, Vec<(usize, &'a Policy)>)>,
    decision: Decision,
}

impl PolicySet {
    /// The policies in shadow mode that have to be evaluated for a request; `None` if there are none.
    #[must_use]
    pub fn shadow_policies(
        &self,
        caller: &Caller,
        unverified_request: &UnverifiedRequest,
    ) -> Option<ShadowPolicies<'_>> {
        let shadow = self.shadow_index()?;
        let (repo, branch) = unverified_request.stated_parts();
        let mut positions = self.find_positions(&shadow.index, caller, repo, |position| {
            let policy = &self.policies()[position];
            policy.may_match(repo, branch) && policy.has_subject(caller)
        });
        positions.extend(
            self.find_positions(&shadow.attesting, caller, repo, |position| {
                self.policies()[position].has_subject(caller)
            }),
        );
        positions.sort_unstable();
        positions.dedup();
        if positions.len() > MAX_SHADOW_POLICIES {
            // Tenants choose the names of their policies, and must not displace other policies by a name that sorts first.
            positions.sort_by_key(|position| self.policies()[*position].name().contains('/'));
            positions.truncate(MAX_SHADOW_POLICIES);
            positions.sort_unstable();
        }
        (!positions.is_empty()).then_some(ShadowPolicies { set: self, positions })
    }
}

impl ShadowPolicies<'_> {
    /// The facts that their expressions need.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let policies = self.positions.iter().map(|position| &self.set.policies()[*position]);
        policies
            .fold(Needs::NOTHING, |needs, policy| needs.union(policy.attest.needs()).union(policy.condition_needs()))
    }

    /// What each policy would change. Omits policies that neither match nor change anything.
    #[must_use]
    pub fn evaluate(
        &self,
        caller: &Caller,
        facts: &Facts,
        unverified_request: &UnverifiedRequest,
        is_deliverable: &dyn Fn(AllowedDeliveries) -> bool,
    ) -> Vec<ShadowVerdict> {
        let mut baseline =
            Baseline::new(self.set, Inputs::from_stated_request(caller, facts, unverified_request), is_deliverable);
        let mut verdicts = Vec::new();
        for position in &self.positions {
            let ShadowEvaluation { mismatch, can_expand_secrets, outcome } = baseline.evaluate_as_enforced(*position);
            let matches = mismatch.is_none() && can_expand_secrets;
            if matches || outcome != ShadowOutcome::NoChange {
                let policy = &self.set.policies()[*position];
                verdicts.push(ShadowVerdict { policy: policy.name.clone(), denies: policy.denies(), outcome });
            }
        }
        verdicts
    }
}

impl<'a> Baseline<'a> {
    pub(super) fn new(
        set: &'a PolicySet,
        stated_inputs: Inputs<'a>,
        is_deliverable: &'a dyn Fn(AllowedDeliveries) -> bool,
    ) -> Self {
        let attestations = set.evaluate_attestations(&stated_inputs);
        let (matching, decision) = {
            let evaluation = Evaluation::new(stated_inputs, &attestations);
            match evaluation.verify_request() {
                Ok(request) => {
                    let matching = matching_policies(set, &evaluation, &request);
                    let decision = evaluation.combine(request.clone(), &without_positions(&matching));
                    (Some((request, matching)), decision)
                }
                Err(decision) => (None, decision),
            }
        };
        Self { set, stated_inputs, is_deliverable, attestations, matching, decision }
    }

    /// Evaluates the policy at this position as if it were enforced.
    pub(super) fn evaluate_as_enforced(&mut self, position: usize) -> ShadowEvaluation {
        let policy: &'a Policy = &self.set.policies()[position];
        let attests = policy.attest.is_configured() && policy.has_subject(self.stated_inputs.caller);
        let index = self.attestations.partition_point(|other| other.position < position);
        if attests {
            self.attestations.insert(index, Attestation::new(position, policy, &self.stated_inputs));
        }
        let shadow = self.evaluate_with_attestations(position, policy);
        if attests {
            self.attestations.remove(index);
        }
        shadow
    }

    fn evaluate_with_attestations(&self, position: usize, policy: &'a Policy) -> ShadowEvaluation {
        let evaluation = Evaluation::new(self.stated_inputs, &self.attestations);
        let mismatch = evaluation.mismatch(position, policy);
        let request = match evaluation.verify_request() {
            Ok(request) => request,
            Err(decision) => {
                return ShadowEvaluation { mismatch, can_expand_secrets: true, outcome: self.compare(&decision) };
            }
        };
        let mut matching = match &self.matching {
            Some((baseline_request, matching)) if *baseline_request == request => matching.clone(),
            _ => matching_policies(self.set, &evaluation, &request),
        };
        let can_expand_secrets = policy.can_expand_secrets(self.stated_inputs.caller, &request);
        if mismatch.is_none() {
            let index = matching.partition_point(|(other, _)| *other < position);
            matching.insert(index, (position, policy));
        }
        let decision = evaluation.combine(request, &without_positions(&matching));
        ShadowEvaluation { mismatch, can_expand_secrets, outcome: self.compare(&decision) }
    }

    /// Compares the decision with the policy in shadow mode to the decision without it.
    fn compare(&self, decision: &Decision) -> ShadowOutcome {
        match (self.deliverable_grant(&self.decision), self.deliverable_grant(decision)) {
            (None, Some(_)) => ShadowOutcome::WouldAllow,
            (Some(_), None) => ShadowOutcome::WouldDeny,
            (Some(before), Some(after)) if after.secrets.iter().any(|secret| !before.secrets.contains(secret)) => {
                ShadowOutcome::WouldAllow
            }
            (Some(_), Some(_)) | (None, None) => ShadowOutcome::NoChange,
        }
    }

    fn deliverable_grant<'d>(&self, decision: &'d Decision) -> Option<&'d Grant> {
        match decision {
            Decision::Granted(grant) => Some(grant).filter(|grant| (self.is_deliverable)(grant.delivery)),
            Decision::Denied(_) | Decision::PartMissing(_) => None,
        }
    }
}

/// The enforced policies that match, with their positions.
fn matching_policies<'s>(
    set: &'s PolicySet,
    evaluation: &Evaluation<'_>,
    request: &Request,
) -> Vec<(usize, &'s Policy)> {
    set.candidates(evaluation.stated_inputs.caller, request)
        .filter(|(position, policy)| evaluation.mismatch(*position, policy).is_none())
        .collect()
}

fn without_positions<'s>(matching: &[(usize, &'s Policy)]) -> Vec<&'s Policy> {
    matching.iter().map(|(_, policy)| *policy).collect()
}
