//! The explanation of a decision: its result, and whether each policy matches.

use super::evaluation::{Evaluation, Mismatch};
use super::matching::{Effect, MismatchKind, Policy};
use super::outcome::{Decision, Delivery, Grant, GrantedSecret};
use super::set::PolicySet;
use super::shadow::{Baseline, ShadowEvaluation};
use crate::model::caller::Caller;
use crate::model::facts::Facts;
use crate::model::lease::Encoding;
use crate::model::request::{Request, UnverifiedRequest};
use crate::model::secret_ref::SecretRef;
use crate::model::shadow::ShadowOutcome;
use crate::model::write::Write;
use std::sync::Arc;

/// A decision, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Whether the request is allowed.
    pub allowed: bool,
    /// The reason code.
    pub reason: &'static str,
    /// The result of each policy, in bytewise order of name.
    pub policies: Vec<ExplainedPolicy>,
    /// The granted secrets, in order.
    pub secrets: Vec<ExplainedSecret>,
}

/// The result of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedPolicy {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it matches.
    pub matched: bool,
    /// The first part that does not match. Also `None` if all parts match but a path cannot be filled in.
    pub failed_at: Option<MismatchKind>,
    /// An explanation for people.
    pub detail: Option<String>,
    /// For a policy in shadow mode, what it would change; none for the others.
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
    pub write: Option<Write>,
    /// The encoding of its values in the store.
    pub encoding: Encoding,
}

impl PolicySet {
    /// Explains the result of [`PolicySet::decide`]; evaluates every policy.
    #[must_use]
    pub fn explain(&self, caller: &Caller, facts: &Facts, asked: &UnverifiedRequest) -> Explanation {
        let attestations = self.attestations(caller, facts, asked);
        let evaluation = Evaluation::new(caller, facts, asked, &attestations);
        let request = evaluation.request();
        let suffices = |delivery: Delivery| delivery.ticket || delivery.direct;
        let baseline = || Baseline::new(self, caller, facts, asked, &suffices);
        let mut baseline = self.shadow_index().map(|_| baseline());
        let mut matching: Vec<&Policy> = Vec::new();
        let mut policies = Vec::with_capacity(self.policies().len());
        for (place, policy) in self.policies().iter().enumerate() {
            if let Some(baseline) = baseline.as_mut().filter(|_| policy.is_shadow()) {
                let ShadowEvaluation { mismatch, has_paths, outcome } = baseline.evaluate_enforced(place);
                policies.push(ExplainedPolicy {
                    shadow: Some(outcome),
                    ..ExplainedPolicy::of(policy, mismatch, has_paths)
                });
                continue;
            }
            let mismatch = evaluation.mismatch(place, policy);
            let has_paths = request.as_ref().map_or(true, |request| policy.has_paths(caller, request));
            policies.push(ExplainedPolicy::of(policy, mismatch, has_paths));
            if mismatch.is_none() {
                matching.push(policy);
            }
        }
        let decision = match request {
            Ok(request) => evaluation.conclude(request, &matching),
            Err(refusal) => refusal,
        };
        let (allowed, reason, secrets) = match decision {
            Decision::Granted(Grant { delivery: Delivery { ticket: false, direct: false }, .. }) => {
                (false, "delivery_not_allowed", Vec::new())
            }
            Decision::Granted(grant) => (true, "granted", self.explained(grant)),
            Decision::Denied(denial) => (false, denial.as_str(), Vec::new()),
            Decision::LeftOut(part) => (false, part.as_str(), Vec::new()),
        };
        Explanation { allowed, reason, policies, secrets }
    }

    /// A grant has all secrets of its policies, in order.
    fn explained(&self, grant: Grant) -> Vec<ExplainedSecret> {
        let granting = self.policies().iter().filter(|policy| grant.policies.iter().any(|one| one.name == policy.name));
        let keys = granting.flat_map(|policy| policy.key_patterns());
        let explained = |(granted, keys): (GrantedSecret, _)| ExplainedSecret {
            secret: granted.secret,
            keys,
            write: granted.write,
            encoding: granted.encoding,
        };
        grant.secrets.into_iter().zip(keys).map(explained).collect()
    }
}

impl ExplainedPolicy {
    fn of(policy: &Policy, mismatch: Option<Mismatch>, has_paths: bool) -> Self {
        let detail = match mismatch {
            Some(Mismatch { cause: Some(cause), detail, .. }) => Some(format!("{detail}: {cause}")),
            Some(Mismatch { cause: None, detail, .. }) => Some(detail.to_owned()),
            None if has_paths => None,
            None => Some("a path cannot be filled in, or leads out of the ceiling".to_owned()),
        };
        let failed_at = mismatch.map(|mismatch| mismatch.kind);
        Self { name: policy.name.clone(), matched: detail.is_none(), failed_at, detail, shadow: None }
    }
}

impl Policy {
    /// Whether the path of every secret can be filled in.
    fn has_paths(&self, caller: &Caller, request: &Request) -> bool {
        match &self.effect {
            Effect::Allow(terms) => terms.fill(caller, request).is_some(),
            Effect::Deny => true,
        }
    }

    /// For each secret the patterns of its selected keys, as written.
    fn key_patterns(&self) -> impl Iterator<Item = Vec<String>> {
        self.spec.secrets.iter().flatten().map(|secret| match &secret.keys {
            Some(keys) => keys.iter().flatten().cloned().collect(),
            None => vec!["**".to_owned()],
        })
    }
}
