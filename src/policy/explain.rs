//! Explanations: what a decision would be, and what each policy says.

use super::decide::{Decision, Delivery, Grant, GrantedSecret};
use super::hearing::{Hearing, Objection};
use super::matching::{Effect, Mismatch, Policy};
use super::set::PolicySet;
use crate::model::caller::Caller;
use crate::model::facts::Facts;
use crate::model::lease::Encoding;
use crate::model::request::{Asked, Request};
use crate::model::secret_ref::SecretRef;
use crate::model::write::Write;
use std::sync::Arc;

/// A decision, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Whether it is yes.
    pub allowed: bool,
    /// The word for why.
    pub reason: &'static str,
    /// What every policy says, in bytewise order of name.
    pub policies: Vec<Verdict>,
    /// What is granted, in order.
    pub secrets: Vec<ExplainedSecret>,
}

/// What one policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it matches.
    pub matched: bool,
    /// The first part of it that does not fit. None as well where all fit but a path cannot be filled in.
    pub failed_at: Option<Mismatch>,
    /// A sentence.
    pub detail: Option<String>,
}

/// A secret that is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedSecret {
    /// Where it stands.
    pub secret: SecretRef,
    /// The patterns of the keys that are taken.
    pub keys: Vec<String>,
    /// With what the store is asked, where the engine's read is a write.
    pub write: Option<Write>,
    /// In what its values are kept.
    pub encoding: Encoding,
}

impl PolicySet {
    /// Explains what [`PolicySet::decide`] says, asking every policy.
    #[must_use]
    pub fn explain(&self, caller: &Caller, facts: &Facts, asked: &Asked) -> Explanation {
        let witnesses = self.witnesses(caller, facts, asked);
        let hearing = Hearing::new(caller, facts, asked, &witnesses);
        let heard: Vec<(&Policy, Option<Objection>)> = self
            .policies()
            .iter()
            .enumerate()
            .map(|(place, policy)| (&**policy, hearing.objection(place, policy)))
            .collect();
        let request = hearing.request();
        let verdict = |(policy, objection): &(&Policy, Option<Objection>)| match (objection, &request) {
            (Some(objection), _) => Verdict::against(policy, *objection),
            (None, Ok(request)) if !policy.has_paths(caller, request) => Verdict::without_path(policy),
            (None, _) => Verdict { name: policy.name.clone(), matched: true, failed_at: None, detail: None },
        };
        let policies = heard.iter().map(verdict).collect();
        let matching = heard.iter().filter(|(_, objection)| objection.is_none()).map(|(policy, _)| *policy);
        let decision = match request {
            Ok(request) => hearing.conclude(request, &matching.collect::<Vec<_>>()),
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

    /// A grant has the secrets of its policies, all of them and in order.
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

impl Verdict {
    fn against(policy: &Policy, objection: Objection) -> Self {
        let detail = match objection.cause {
            Some(cause) => format!("{}: {cause}", objection.detail),
            None => objection.detail.to_owned(),
        };
        let failed_at = Some(objection.mismatch);
        Self { name: policy.name.clone(), matched: false, failed_at, detail: Some(detail) }
    }

    fn without_path(policy: &Policy) -> Self {
        let detail = Some("a path cannot be filled in, or leads out of the ceiling".to_owned());
        Self { name: policy.name.clone(), matched: false, failed_at: None, detail }
    }
}

impl Policy {
    /// Whether there is a path for every secret.
    fn has_paths(&self, caller: &Caller, request: &Request) -> bool {
        match &self.effect {
            Effect::Allow(terms) => terms.fill(caller, request).is_some(),
            Effect::Deny => true,
        }
    }

    /// For each of its secrets the patterns of the keys that are taken, as they are written.
    fn key_patterns(&self) -> impl Iterator<Item = Vec<String>> {
        self.spec.secrets.iter().flatten().map(|secret| match &secret.keys {
            Some(keys) => keys.iter().flatten().cloned().collect(),
            None => vec!["**".to_owned()],
        })
    }
}
