//! One custom resource, compiled.

use super::compile::{compile, too_large};
use super::reason::{Holder, Reason, message};
use super::widest::widest_deny;
use crate::document::Fault;
use crate::model::may_deny::may_deny;
use crate::model::policy_resource::{ObservedStatus, PolicyResource, ResourceKey, ResourceSpec, ResourceStatus};
use crate::policy::bounds::Bounds;
use crate::policy::matching::Policy;
use crate::policy::store::port::{PolicySource, StoredPolicy};
use jiff::Timestamp;
use serde_json::Value;
use std::borrow::Cow;
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
    /// What is to be in force.
    policy: Option<Usable>,
    compiled: CompileResult,
    /// Whether something else keeps it out of force.
    pub(super) precedence: Precedence,
    pub(super) observed: Option<ObservedStatus>,
}

/// A compiled policy of an object.
#[derive(Debug)]
struct Usable {
    policy: Arc<Policy>,
    /// The generation that compiled; none for a deny policy that does not compile, read as widely as it can be meant.
    generation: Option<i64>,
}

impl Usable {
    /// Whether it denies as it was written once.
    fn is_good_deny(&self) -> bool {
        self.generation.is_some() && self.policy.denies() && !self.policy.is_shadow()
    }
}

#[derive(Debug)]
enum CompileResult {
    Good,
    Bad(Reason, Box<str>),
    /// The spec was not kept, because there are too many.
    Unread,
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
        let before = before.filter(|before| before.uid == uid).and_then(|before| before.policy);
        let last_good = before.filter(Usable::is_good_deny);
        let (policy, compiled) = match spec {
            ResourceSpec::Dropped => (last_good, CompileResult::Unread),
            ResourceSpec::TooLarge { may_deny } => {
                let broken = Broken { key: &key, cluster, spec: None, faults: &too_large(), bounds };
                broken.verdict(may_deny, last_good)
            }
            ResourceSpec::Whole(spec) => {
                // Compiling takes it apart.
                let denying = may_deny(&spec).then(|| spec.clone());
                match compile(&key, Some(cluster), spec, bounds) {
                    Ok(policy) => {
                        (Some(Usable { policy: Arc::new(policy), generation: Some(generation) }), CompileResult::Good)
                    }
                    Err(faults) => {
                        let broken = Broken { key: &key, cluster, spec: denying.as_ref(), faults: &faults, bounds };
                        broken.verdict(denying.is_some(), last_good)
                    }
                }
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
        let is_news = matches!(self.compiled, CompileResult::Unread) && resource.spec != ResourceSpec::Dropped;
        if is_news || *self.uid != *resource.uid || self.generation != resource.generation {
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
        self.policy.as_ref().filter(|_| self.precedence == Precedence::Free).map(|one| &one.policy)
    }

    /// Says whether something else keeps it out of force. Of one that is too many, nothing but this is kept.
    pub(super) fn stand(&mut self, precedence: Precedence) {
        if matches!(precedence, Precedence::Excess(_)) {
            self.policy = None;
            self.compiled = CompileResult::Unread;
        }
        if self.precedence != precedence {
            self.precedence = precedence;
        }
    }

    /// Whether its spec is to be read again: it was not kept, and there is room for it now.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.compiled, CompileResult::Unread) && !matches!(self.precedence, Precedence::Excess(_))
    }

    pub(super) fn reason(&self) -> Reason {
        match (&self.compiled, &self.precedence) {
            (CompileResult::Bad(reason, _), _) => *reason,
            (_, Precedence::Taken(_)) => Reason::NameConflict,
            (CompileResult::Good, Precedence::Free) => Reason::Accepted,
            (CompileResult::Unread, _) | (_, Precedence::Excess(_)) => Reason::Invalid,
        }
    }

    fn message(&self) -> Cow<'_, str> {
        match (&self.compiled, &self.precedence) {
            (CompileResult::Bad(_, message), _) => (&**message).into(),
            (_, Precedence::Taken(holder)) => holder.message().into(),
            (_, Precedence::Excess(why)) => (*why).into(),
            (CompileResult::Unread, Precedence::Free) => {
                "There is room for the policy again; it is about to be read.".into()
            }
            (CompileResult::Good, Precedence::Free) if self.in_force().is_some_and(|policy| policy.is_shadow()) => {
                "The policy is in shadow mode (audit): it is evaluated and recorded, and changes nothing.".into()
            }
            (CompileResult::Good, Precedence::Free) => "The policy is in force.".into(),
        }
    }

    /// The status that it should have, if it was not observed.
    pub(super) fn pending_status(&self) -> Option<ResourceStatus> {
        let (reason, message) = (self.reason(), self.message());
        let ready = reason == Reason::Accepted;
        let is_written = self.observed.as_ref().is_some_and(|ObservedStatus { status, .. }| {
            (status.ready, &*status.reason, &*status.message, status.generation)
                == (ready, reason.as_str(), &*message, self.generation)
        });
        (!is_written).then(|| ResourceStatus {
            ready,
            reason: reason.as_str().into(),
            message: message.into(),
            generation: self.generation,
        })
    }

    /// As the API shows it, if it is in force as it is written.
    pub(super) fn shown(&self) -> Option<ActiveResource> {
        let policy = self.in_force().filter(|_| matches!(self.compiled, CompileResult::Good))?.clone();
        let Self { created_at, updated_at, .. } = *self;
        Some(ActiveResource { policy, created_at, updated_at, updated_by: self.updated_by.clone() })
    }
}

/// An object that does not compile.
struct Broken<'a> {
    key: &'a ResourceKey,
    cluster: &'a Arc<str>,
    /// Its spec, if that was kept and may deny.
    spec: Option<&'a Value>,
    faults: &'a [Fault],
    bounds: &'a Bounds,
}

impl Broken<'_> {
    /// Returns the version that is in force, and the result that its author sees in the status. A policy that may deny keeps its last
    /// good version in force. If there is none, the readable parts of the broken one are in force.
    fn verdict(self, may_deny: bool, last_good: Option<Usable>) -> (Option<Usable>, CompileResult) {
        let Self { key, cluster, spec, faults, bounds } = self;
        let reason = Reason::of(faults);
        let mut text = message(faults);
        if reason == Reason::BeyondCeiling && key.namespace.is_some() && bounds.ceiling.is_closed() {
            text.insert_str(0, "No entry of policies.tenants matches the namespace: ");
        }
        let widest = || {
            let policy = widest_deny(key, cluster, spec, faults, bounds)?;
            Some(Usable { policy: Arc::new(policy), generation: None })
        };
        let usable = if may_deny { last_good.or_else(widest) } else { None };
        match &usable {
            Some(Usable { generation: Some(generation), .. }) => {
                text = format!("{text}. What generation {generation} denied stays denied");
            }
            Some(_) => text.push_str(". It denies nevertheless, and what cannot be read of it matches everything"),
            None => {}
        }
        (usable, CompileResult::Bad(reason, text.into()))
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
