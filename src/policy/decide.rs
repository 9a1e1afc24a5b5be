//! Decides one request by a set of policies.

use super::cel::Inputs;
use super::compiled_policy::{Effect, GrantTerms, Policy};
use super::evaluation::Evaluation;
use super::outcome::{AllowedDeliveries, Decision, Denial, Grant, GrantedSecret};
use super::set::PolicySet;
use crate::model::caller::Caller;
use crate::model::facts::Facts;
use crate::model::request::{Request, UnverifiedRequest};
use crate::model::ticket_limit::TicketLimit;

impl PolicySet {
    /// Decides a request. Evaluates `attest` of the policies for this caller, and `condition` of those that also fit the repo and
    /// the branch; each expression at most once.
    #[must_use]
    pub fn decide(&self, caller: &Caller, facts: &Facts, unverified_request: &UnverifiedRequest) -> Decision {
        let stated_inputs = Inputs::from_stated_request(caller, facts, unverified_request);
        let attestations = self.evaluate_attestations(&stated_inputs);
        let evaluation = Evaluation::new(stated_inputs, &attestations);
        let request = match evaluation.verify_request() {
            Ok(request) => request,
            Err(decision) => return decision,
        };
        let matching: Vec<&Policy> = self
            .candidates(caller, &request)
            .filter(|(position, policy)| evaluation.mismatch(*position, policy).is_none())
            .map(|(_, policy)| policy)
            .collect();
        evaluation.combine(request, &matching)
    }
}

impl Evaluation<'_> {
    /// Combines the matching policies, which are in bytewise order of name, into the decision.
    pub(super) fn combine(&self, request: Request, matching: &[&Policy]) -> Decision {
        let mut grant = Grant {
            request,
            policies: Vec::new(),
            secrets: Vec::new(),
            ttl: None,
            binding: None,
            delivery: AllowedDeliveries { ticket: true, direct: true },
            limits: Vec::new(),
        };
        let mut denying = Vec::new();
        let mut not_expandable = Vec::new();
        for policy in matching {
            match &policy.effect {
                Effect::Deny => denying.push(policy.policy_ref()),
                Effect::Allow(terms) => match terms.expand(self.stated_inputs.caller, &grant.request) {
                    Some(secrets) => grant.add(policy, terms, secrets),
                    None => not_expandable.push(policy.policy_ref()),
                },
            }
        }
        let unattested_policies =
            if grant.policies.is_empty() { self.policies_without_attested_value() } else { Vec::new() };
        if !unattested_policies.is_empty() {
            return Decision::Denied(self.attestation_denial(unattested_policies));
        }
        if !denying.is_empty() {
            return Decision::Denied(Denial::DeniedByPolicy(denying));
        }
        if !grant.policies.is_empty() {
            return Decision::Granted(grant);
        }
        Decision::Denied(if !not_expandable.is_empty() {
            Denial::NoPathFits(not_expandable)
        } else if self.runs_are_withheld() {
            Denial::AdmissionPolicyMissing(Vec::new())
        } else {
            Denial::NoPolicyMatches
        })
    }
}

impl Grant {
    fn add(&mut self, policy: &Policy, terms: &GrantTerms, secrets: Vec<GrantedSecret>) {
        self.policies.push(policy.policy_ref());
        self.secrets.extend(secrets);
        self.ttl = [self.ttl, terms.ttl].into_iter().flatten().min();
        self.binding = [self.binding, terms.binding].into_iter().flatten().max();
        self.delivery.ticket &= terms.delivery.ticket;
        self.delivery.direct &= terms.delivery.direct;
        self.limits.extend(terms.max_per_caller.map(|max| TicketLimit { policy: policy.name.clone(), max }));
    }
}
