//! One custom resource, compiled.

use super::compile::compile;
use super::reason::{Holder, Reason, message};
use crate::model::policy_resource::{ObservedStatus, PolicyResource, ResourceStatus};
use crate::policy::bounds::Bounds;
use crate::policy::matching::Policy;
use crate::policy::may_deny::may_deny;
use crate::policy::store::port::{PolicySource, StoredPolicy};
use jiff::Timestamp;
use std::sync::Arc;

/// An object, and what became of it.
#[derive(Debug)]
pub(super) struct ObservedPolicy {
    /// The policy's name.
    pub(super) name: Arc<str>,
    uid: Box<str>,
    generation: i64,
    pub(super) created_at: Timestamp,
    updated_at: Timestamp,
    updated_by: Arc<str>,
    /// The compiled policy. Of one that does not compile, its last good version if that is to stay in force.
    policy: Option<(i64, Arc<Policy>)>,
    compiled: CompileResult,
    /// Whether something else keeps it out of force.
    pub(super) precedence: Precedence,
    pub(super) observed: Option<ObservedStatus>,
}

#[derive(Debug)]
enum CompileResult {
    Good,
    Bad(Reason, Box<str>),
}

/// What the other policies mean for one that compiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Precedence {
    /// It is in force.
    Free,
    /// Another source has its name.
    Taken(Holder),
    /// There are too many.
    Excess(&'static str),
}

impl ObservedPolicy {
    /// Compiles an object. What it was before counts where it denied: a deny policy does not vanish because it was broken.
    pub(super) fn new(resource: PolicyResource, before: Option<Self>, cluster: &Arc<str>, bounds: &Bounds) -> Self {
        let PolicyResource { key, uid, generation, created_at, updated_at, updated_by, spec, status } = resource;
        let may_deny = may_deny(&spec);
        let (policy, compiled) = match compile(&key, Some(cluster), spec, bounds) {
            Ok(policy) => (Some((generation, Arc::new(policy))), CompileResult::Good),
            Err(faults) => {
                let before = before.filter(|before| before.uid == uid).and_then(|before| before.policy);
                let kept = before.filter(|(_, before)| may_deny && before.denies() && !before.is_shadow());
                let reason = Reason::of(&faults);
                let mut text = message(&faults);
                if reason == Reason::BeyondCeiling && key.namespace.is_some() && bounds.ceiling.is_closed() {
                    text.insert_str(0, "No entry of policies.tenants matches the namespace: ");
                }
                if let Some((generation, _)) = &kept {
                    text = format!("{text}. What generation {generation} denied stays denied");
                }
                (kept, CompileResult::Bad(reason, text.into()))
            }
        };
        Self {
            name: key.to_string().into(),
            uid,
            generation,
            created_at,
            updated_at,
            updated_by: updated_by.into(),
            policy,
            compiled,
            precedence: Precedence::Free,
            observed: status,
        }
    }

    /// Takes over everything but the spec, if that has not changed.
    pub(super) fn observe(&mut self, resource: &PolicyResource) -> bool {
        if *self.uid != *resource.uid || self.generation != resource.generation {
            return false;
        }
        self.updated_at = resource.updated_at;
        if *self.updated_by != *resource.updated_by {
            self.updated_by = resource.updated_by.clone().into();
        }
        self.observed.clone_from(&resource.status);
        true
    }

    pub(super) fn uid(&self) -> &str {
        &self.uid
    }

    /// The policy, if nothing keeps it out of force.
    pub(super) fn in_force(&self) -> Option<&Arc<Policy>> {
        self.policy.as_ref().filter(|_| self.precedence == Precedence::Free).map(|(_, policy)| policy)
    }

    pub(super) fn reason(&self) -> Reason {
        match (&self.compiled, &self.precedence) {
            (CompileResult::Bad(reason, _), _) => *reason,
            (CompileResult::Good, Precedence::Free) => Reason::Accepted,
            (CompileResult::Good, Precedence::Taken(_)) => Reason::NameConflict,
            (CompileResult::Good, Precedence::Excess(_)) => Reason::Invalid,
        }
    }

    /// The status that it should have.
    pub(super) fn status(&self) -> ResourceStatus {
        let message = match (&self.compiled, &self.precedence) {
            (CompileResult::Bad(_, message), _) => message.clone(),
            (CompileResult::Good, Precedence::Free) if self.in_force().is_some_and(|policy| policy.is_shadow()) => {
                "The policy is in shadow mode (audit): it is evaluated and recorded, and changes nothing.".into()
            }
            (CompileResult::Good, Precedence::Free) => "The policy is in force.".into(),
            (CompileResult::Good, Precedence::Taken(holder)) => holder.message().into(),
            (CompileResult::Good, Precedence::Excess(why)) => (*why).into(),
        };
        let reason = self.reason();
        ResourceStatus {
            ready: reason == Reason::Accepted,
            reason: reason.as_str().into(),
            message,
            generation: self.generation,
        }
    }

    /// As the API shows it, if it is in force as it is written.
    pub(super) fn shown(&self) -> Option<ActiveResource> {
        let policy = self.in_force().filter(|_| matches!(self.compiled, CompileResult::Good))?.clone();
        let Self { created_at, updated_at, .. } = *self;
        Some(ActiveResource { policy, created_at, updated_at, updated_by: self.updated_by.clone() })
    }
}

/// A policy of a cluster that is in force, with its metadata.
#[derive(Debug, Clone)]
pub struct ActiveResource {
    policy: Arc<Policy>,
    created_at: Timestamp,
    updated_at: Timestamp,
    updated_by: Arc<str>,
}

impl ActiveResource {
    /// As the API shows it.
    #[must_use]
    pub fn stored(&self) -> StoredPolicy {
        StoredPolicy {
            name: self.policy.name().to_string(),
            revision: self.policy.revision().to_string(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            updated_by: self.updated_by.to_string(),
            source: PolicySource::Kubernetes,
            spec: (**self.policy.spec()).clone(),
        }
    }
}
