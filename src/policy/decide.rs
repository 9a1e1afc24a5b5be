//! The decision of a set of policies on one request.

use super::evaluation::Evaluation;
use super::matching::{Effect, Policy, Terms};
use super::outcome::{Decision, Delivery, Denial, Grant, GrantedSecret};
use super::set::PolicySet;
use crate::model::caller::Caller;
use crate::model::facts::Facts;
use crate::model::request::{Request, UnverifiedRequest};
use crate::model::ticket_limit::TicketLimit;

impl PolicySet {
    /// Decides. Policies for other callers or repos are not evaluated, and each expression is evaluated at most
    /// once.
    #[must_use]
    pub fn decide(&self, caller: &Caller, facts: &Facts, asked: &UnverifiedRequest) -> Decision {
        let attestations = self.attestations(caller, facts, asked);
        let evaluation = Evaluation::new(caller, facts, asked, &attestations);
        let request = match evaluation.request() {
            Ok(request) => request,
            Err(refusal) => return refusal,
        };
        let matching: Vec<&Policy> = self
            .candidates(caller, &request)
            .filter(|(place, policy)| evaluation.mismatch(*place, policy).is_none())
            .map(|(_, policy)| policy)
            .collect();
        evaluation.conclude(request, &matching)
    }
}

impl Evaluation<'_> {
    /// Combines the matching policies, in bytewise order of name.
    pub(super) fn conclude(&self, request: Request, matching: &[&Policy]) -> Decision {
        let mut grant = Grant {
            request,
            policies: Vec::new(),
            secrets: Vec::new(),
            ttl: None,
            bind_to: None,
            delivery: Delivery { ticket: true, direct: true },
            limits: Vec::new(),
        };
        let mut denying = Vec::new();
        let mut pathless = Vec::new();
        for policy in matching {
            match &policy.effect {
                Effect::Deny => denying.push(policy.reference()),
                Effect::Allow(terms) => match terms.fill(self.caller, &grant.request) {
                    Some(secrets) => grant.add(policy, terms, secrets),
                    None => pathless.push(policy.reference()),
                },
            }
        }
        let unattested = if grant.policies.is_empty() { self.unattested() } else { Vec::new() };
        if !unattested.is_empty() {
            return Decision::Denied(self.attestation_denial(unattested));
        }
        if !denying.is_empty() {
            return Decision::Denied(Denial::DeniedByPolicy(denying));
        }
        if !grant.policies.is_empty() {
            return Decision::Granted(grant);
        }
        Decision::Denied(if !pathless.is_empty() {
            Denial::NoPathFits(pathless)
        } else if self.runs_are_withheld() {
            Denial::AdmissionPolicyMissing(Vec::new())
        } else {
            Denial::NoPolicyMatches
        })
    }
}

impl Grant {
    fn add(&mut self, policy: &Policy, terms: &Terms, secrets: Vec<GrantedSecret>) {
        self.policies.push(policy.reference());
        self.secrets.extend(secrets);
        self.ttl = [self.ttl, terms.ttl].into_iter().flatten().min();
        self.bind_to = [self.bind_to, terms.bind_to].into_iter().flatten().max();
        self.delivery.ticket &= terms.delivery.ticket;
        self.delivery.direct &= terms.delivery.direct;
        self.limits.extend(terms.max_per_caller.map(|max| TicketLimit { policy: policy.name.clone(), max }));
    }
}
