//! The decision: what a set of policies says to one caller's request.

use super::matching::{Effect, Policy, Terms};
use super::secret_rule::SecretRule;
use super::set::PolicySet;
use crate::model::binding::BindTo;
use crate::model::caller::Caller;
use crate::model::policy_ref::PolicyRef;
use crate::model::request::Request;
use crate::model::secret_ref::SecretRef;
use std::sync::Arc;
use std::time::Duration;

/// What the policies say.
#[derive(Debug)]
pub enum Decision {
    /// Yes, to this.
    Granted(Grant),
    /// No.
    Denied(Denial),
}

/// What is granted.
#[derive(Debug)]
pub struct Grant {
    /// The allow policies that match, in bytewise order of name.
    pub policies: Vec<PolicyRef>,
    /// Their secrets in that order, those of one policy in the order listed: later ones replace keys of earlier ones.
    pub secrets: Vec<GrantedSecret>,
    /// The smallest life that one of them sets.
    pub ttl: Option<Duration>,
    /// The strictest binding that one of them sets.
    pub bind_to: Option<BindTo>,
    /// The ways that all of them allow; there may be none.
    pub delivery: Delivery,
}

/// A secret to be read, and what to take of it.
#[derive(Debug, Clone)]
pub struct GrantedSecret {
    /// Where it stands.
    pub secret: SecretRef,
    /// Which keys, under which names.
    pub rule: Arc<SecretRule>,
    /// Whether its absence is an error.
    pub required: bool,
}

/// The ways in which a bundle may be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// By a one-time download URL.
    pub ticket: bool,
    /// In the answer itself.
    pub direct: bool,
}

/// Why not. For the audit event; the caller learns only that it was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// These deny policies match.
    DeniedByPolicy(Vec<PolicyRef>),
    /// No allow policy matches.
    NoPolicyMatches,
    /// The patterns of these allow policies fit, but some path of each cannot be filled in, or leads out of the ceiling.
    NoPathFits(Vec<PolicyRef>),
}

impl Denial {
    /// The word in the audit event.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::DeniedByPolicy(_) => "denied_by_policy",
            Self::NoPolicyMatches => "no_policy_matches",
            Self::NoPathFits(_) => "no_path_fits",
        }
    }

    /// The policies it is owed to.
    #[must_use]
    pub fn policies(&self) -> &[PolicyRef] {
        match self {
            Self::DeniedByPolicy(policies) | Self::NoPathFits(policies) => policies,
            Self::NoPolicyMatches => &[],
        }
    }
}

impl PolicySet {
    /// Decides. A policy that cannot match costs no allocation, and one of other callers or repos no look at it.
    #[must_use]
    pub fn decide(&self, caller: &Caller, request: &Request) -> Decision {
        let matching = self.matching(caller, request);
        let denying: Vec<_> = matching
            .iter()
            .filter(|policy| matches!(policy.effect, Effect::Deny))
            .map(|policy| policy.reference())
            .collect();
        if !denying.is_empty() {
            return Decision::Denied(Denial::DeniedByPolicy(denying));
        }
        let mut grant = Grant {
            policies: Vec::new(),
            secrets: Vec::new(),
            ttl: None,
            bind_to: None,
            delivery: Delivery { ticket: true, direct: true },
        };
        for policy in &matching {
            if let Effect::Allow(terms) = &policy.effect
                && let Some(secrets) = terms.fill(caller, request)
            {
                grant.add(policy, terms, secrets);
            }
        }
        if !grant.policies.is_empty() {
            return Decision::Granted(grant);
        }
        Decision::Denied(if matching.is_empty() {
            Denial::NoPolicyMatches
        } else {
            Denial::NoPathFits(matching.iter().map(|policy| policy.reference()).collect())
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
    }
}

impl Policy {
    fn reference(&self) -> PolicyRef {
        PolicyRef { name: self.name.clone(), revision: self.revision.clone() }
    }
}
