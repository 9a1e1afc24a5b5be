//! Explains a decision: the result, and for each policy whether it matches or why not.

use super::cel::Inputs;
use super::compiled_policy::{Effect, MismatchKind, Policy};
use super::evaluation::{Evaluation, Mismatch};
use super::outcome::{AllowedDeliveries, Decision, Grant, GrantedSecret};
use super::set::PolicySet;
use super::shadow::{Baseline, ShadowEvaluation};
use crate::model::caller::Caller;
use crate::model::facts::{Facts, Needs};
use crate::model::lease::Encoding;
use crate::model::request::{Request, UnverifiedRequest};
use crate::model::secret_ref::SecretRef;
use crate::model::shadow::ShadowOutcome;
use crate::model::write_body::WriteBody;
use std::sync::Arc;

/// The explanation of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Whether the request is allowed.
    pub allowed: bool,
    /// The reason code.
    pub reason: &'static str,
    /// The result of each policy, in bytewise order of name.
    pub policies: Vec<ExplainedPolicy>,
    /// The granted secrets, in order of policy; empty if the request is denied.
    pub secrets: Vec<ExplainedSecret>,
}

/// The result of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedPolicy {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it matches.
    pub matched: bool,
    /// The first section of the policy that does not match. `None` if all of them match; `matched` is false nevertheless if a
    /// secret's path or write body cannot be expanded, or a path is outside the ceiling.
    pub failed_at: Option<MismatchKind>,
    /// Why the policy does not match, as text; `None` if it matches.
    pub detail: Option<String>,
    /// Whether it is in shadow mode.
    pub is_shadow: bool,
    /// What a policy in shadow mode would change; `None` for an enforced policy, and for one that was not evaluated because facts
    /// are not available.
    pub shadow: Option<ShadowOutcome>,
}

/// A granted secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedSecret {
    /// Its store and path.
    pub secret: SecretRef,
    /// The patterns of its selected keys.
    pub keys: Vec<String>,
    /// The request body, if the engine needs a write to return the secret.
    pub write: Option<WriteBody>,
    /// The encoding of its values in the store.
    pub encoding: Encoding,
}

impl PolicySet {
    /// Explains the decision of [`PolicySet::decide`]. Evaluates every policy.
    #[must_use]
    pub fn explain(&self, caller: &Caller, facts: &Facts, unverified_request: &UnverifiedRequest) -> Explanation {
        self.explain_with(caller, (facts, Needs::ALL), unverified_request)
    }

    /// As [`PolicySet::explain`], with only the `available` facts, which must include those that enforced policies need. A policy in
    /// shadow mode that needs others is not evaluated.
    #[must_use]
    pub fn explain_with(
        &self,
        caller: &Caller,
        (facts, available): (&Facts, Needs),
        unverified_request: &UnverifiedRequest,
    ) -> Explanation {
        let stated_inputs = Inputs::from_stated_request(caller, facts, unverified_request);
        let attestations = self.evaluate_attestations(&stated_inputs);
        let evaluation = Evaluation::new(stated_inputs, &attestations);
        let request = evaluation.verify_request();
        // As when a request is served: a ServiceAccount whose token is not bound to a pod gets no tickets.
        let is_deliverable =
            |delivery: AllowedDeliveries| delivery.direct || (delivery.ticket && caller.unbound_account.is_none());
        let mut baseline = self.shadow_index().map(|_| Baseline::new(self, stated_inputs, &is_deliverable));
        let mut matching: Vec<&Policy> = Vec::new();
        let mut policies = Vec::with_capacity(self.policies().len());
        for (position, policy) in self.policies().iter().enumerate() {
            if let Some(baseline) = baseline.as_mut().filter(|_| policy.is_shadow()) {
                if !available.covers(policy.shadow_needs(caller, unverified_request)) {
                    policies.push(ExplainedPolicy::not_evaluated(policy));
                    continue;
                }
                let ShadowEvaluation { mismatch, can_expand_secrets, outcome } =
                    baseline.evaluate_as_enforced(position);
                policies.push(ExplainedPolicy {
                    shadow: Some(outcome),
                    ..ExplainedPolicy::new(policy, mismatch, can_expand_secrets)
                });
                continue;
            }
            let mismatch = evaluation.mismatch(position, policy);
            let can_expand_secrets =
                request.as_ref().map_or(true, |request| policy.can_expand_secrets(caller, request));
            policies.push(ExplainedPolicy::new(policy, mismatch, can_expand_secrets));
            if mismatch.is_none() {
                matching.push(policy);
            }
        }
        let decision = match request {
            Ok(request) => evaluation.combine(request, &matching),
            Err(decision) => decision,
        };
        let (allowed, reason, secrets) = match decision {
            Decision::Granted(grant) if !is_deliverable(grant.delivery) => (false, "delivery_not_allowed", Vec::new()),
            Decision::Granted(grant) => (true, "granted", self.explain_secrets(grant)),
            Decision::Denied(denial) => (false, denial.as_str(), Vec::new()),
            Decision::PartMissing(part) => (false, part.as_str(), Vec::new()),
        };
        Explanation { allowed, reason, policies, secrets }
    }

    /// Pairs each secret with the key patterns of its entry in the policy. Secrets and entries are zipped, because a grant has
    /// every secret of its policies, in their order.
    fn explain_secrets(&self, grant: Grant) -> Vec<ExplainedSecret> {
        let granting = self
            .policies()
            .iter()
            .filter(|policy| grant.policies.iter().any(|reference| reference.name == policy.name));
        let keys = granting.flat_map(|policy| policy.key_patterns());
        let explain = |(granted, keys): (GrantedSecret, _)| ExplainedSecret {
            secret: granted.secret,
            keys,
            write: granted.write,
            encoding: granted.encoding,
        };
        grant.secrets.into_iter().zip(keys).map(explain).collect()
    }
}

impl ExplainedPolicy {
    fn new(policy: &Policy, mismatch: Option<Mismatch>, can_expand_secrets: bool) -> Self {
        let detail = match mismatch {
            Some(Mismatch { cause: Some(cause), detail, .. }) => Some(format!("{detail}: {cause}")),
            Some(Mismatch { cause: None, detail, .. }) => Some(detail.to_owned()),
            None if can_expand_secrets => None,
            None => Some("a path or write body cannot be expanded, or a path is outside the ceiling".to_owned()),
        };
        let failed_at = mismatch.map(|mismatch| mismatch.kind);
        let (name, is_shadow) = (policy.name.clone(), policy.is_shadow());
        Self { name, matched: detail.is_none(), failed_at, detail, is_shadow, shadow: None }
    }

    /// A policy in shadow mode that needs facts that are not available.
    fn not_evaluated(policy: &Policy) -> Self {
        let detail = "it was not evaluated, because facts that it needs are not available".to_owned();
        let (name, is_shadow) = (policy.name.clone(), policy.is_shadow());
        Self { name, matched: false, failed_at: None, detail: Some(detail), is_shadow, shadow: None }
    }
}

impl Policy {
    /// The facts that its evaluation in shadow mode needs. A policy attests also requests that its patterns do not match.
    fn shadow_needs(&self, caller: &Caller, unverified_request: &UnverifiedRequest) -> Needs {
        let (repo, branch) = unverified_request.stated_parts();
        match (self.has_subject(caller), self.may_match(repo, branch)) {
            (false, _) => Needs::NOTHING,
            (true, false) => self.attest.needs(),
            (true, true) => self.attest.needs().union(self.condition_needs()),
        }
    }

    /// Whether the path and write body of every secret can be expanded, and every path is within the ceiling. True for a deny
    /// policy.
    pub(super) fn can_expand_secrets(&self, caller: &Caller, request: &Request) -> bool {
        match &self.effect {
            Effect::Allow(terms) => terms.expand(caller, request).is_some(),
            Effect::Deny => true,
        }
    }

    /// For each secret, the patterns of its selected keys as written; `**` if it selects all.
    fn key_patterns(&self) -> impl Iterator<Item = Vec<String>> {
        self.spec.secrets.iter().flatten().map(|secret| match &secret.keys {
            Some(keys) => keys.iter().flatten().cloned().collect(),
            None => vec!["**".to_owned()],
        })
    }
}
