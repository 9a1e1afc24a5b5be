//! One custom resource of a cluster, with its compiled policy and its status.

use super::compile::{compile, too_large_faults};
use super::ready_reason::{NameOwner, ReadyReason, faults_message};
use crate::document::Fault;
use crate::model::may_deny::may_deny;
use crate::model::policy_resource::{ObservedStatus, PolicyResource, ResourceKey, ResourceSpec, ResourceStatus};
use crate::policy::bounds::Bounds;
use crate::policy::broadest_deny::InvalidSpec;
use crate::policy::compiled_policy::Policy;
use crate::policy::store::port::{PolicyRecord, PolicySource};
use jiff::Timestamp;
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// A custom resource as last observed, and its compiled policy.
#[derive(Debug)]
pub(super) struct ObservedPolicy {
    /// The policy's name.
    pub(super) name: Arc<str>,
    uid: Box<str>,
    generation: i64,
    pub(super) created_at: Timestamp,
    updated_at: Timestamp,
    updated_by: Arc<str>,
    /// The policy that is active if `precedence` permits it; `None` if the object has none.
    policy: Option<UsablePolicy>,
    result: CompileResult,
    /// Whether other policies permit it to be active.
    pub(super) precedence: Precedence,
    /// The status that the object has, as last read or written.
    pub(super) status: Option<ObservedStatus>,
}

/// A policy that can be active for an object.
#[derive(Debug)]
struct UsablePolicy {
    policy: Arc<Policy>,
    /// The generation of its spec; `None` if it is the broadest deny policy of an invalid spec.
    generation: Option<i64>,
}

impl UsablePolicy {
    /// Whether it is an enforced deny policy from a valid spec.
    fn is_valid_deny(&self) -> bool {
        self.generation.is_some() && self.policy.denies() && !self.policy.is_shadow()
    }
}

/// The result of compiling the latest spec.
#[derive(Debug)]
enum CompileResult {
    Valid,
    /// The spec has faults: the reason of the status, and the faults as text.
    Invalid(ReadyReason, Box<str>),
    /// The spec was dropped, because there were too many objects.
    SpecDropped,
}

/// Whether other policies permit a policy to be active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Precedence {
    /// It can be active.
    Free,
    /// Another source has a policy with its name.
    NameTaken(NameOwner),
    /// There are too many policies; the message of the status.
    Excess(&'static str),
}

impl ObservedPolicy {
    /// Compiles an object. A valid deny policy of its previous version stays active if the new spec was dropped, or is invalid and
    /// may deny.
    pub(super) fn new(resource: PolicyResource, previous: Option<Self>, cluster: &Arc<str>, bounds: &Bounds) -> Self {
        let PolicyResource { key, uid, generation, created_at, updated_at, updated_by, spec, status } = resource;
        let previous = previous.filter(|previous| previous.uid == uid).and_then(|previous| previous.policy);
        let last_valid = previous.filter(UsablePolicy::is_valid_deny);
        let (policy, result) = match spec {
            ResourceSpec::Dropped => (last_valid, CompileResult::SpecDropped),
            ResourceSpec::TooLarge { may_deny } => {
                let invalid = InvalidResource { key: &key, cluster, spec: None, faults: &too_large_faults(), bounds };
                invalid.resolve(may_deny, last_valid)
            }
            ResourceSpec::Complete(spec) => {
                // `compile` consumes the spec.
                let denying_spec = may_deny(&spec).then(|| spec.clone());
                match compile(&key, Some(cluster), spec, bounds) {
                    Ok(policy) => (
                        Some(UsablePolicy { policy: Arc::new(policy), generation: Some(generation) }),
                        CompileResult::Valid,
                    ),
                    Err(faults) => {
                        let invalid = InvalidResource {
                            key: &key,
                            cluster,
                            spec: denying_spec.as_ref(),
                            faults: &faults,
                            bounds,
                        };
                        invalid.resolve(denying_spec.is_some(), last_valid)
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
            result,
            precedence: Precedence::Free,
            status,
        }
    }

    /// Updates everything except the spec. Returns false, and changes nothing, if the spec has to be compiled.
    pub(super) fn update_metadata(&mut self, resource: &PolicyResource) -> bool {
        let has_new_spec = matches!(self.result, CompileResult::SpecDropped) && resource.spec != ResourceSpec::Dropped;
        if has_new_spec || *self.uid != *resource.uid || self.generation != resource.generation {
            return false;
        }
        self.updated_at = resource.updated_at;
        if *self.updated_by != *resource.updated_by {
            self.updated_by = resource.updated_by.clone().into();
        }
        self.status.clone_from(&resource.status);
        true
    }

    pub(super) fn uid(&self) -> &str {
        &self.uid
    }

    pub(super) fn active_policy(&self) -> Option<&Arc<Policy>> {
        self.policy.as_ref().filter(|_| self.precedence == Precedence::Free).map(|usable| &usable.policy)
    }

    /// Sets the precedence. In the case of `Excess`, drops the policy and the result of compiling it.
    pub(super) fn set_precedence(&mut self, precedence: Precedence) {
        if matches!(precedence, Precedence::Excess(_)) {
            self.policy = None;
            self.result = CompileResult::SpecDropped;
        }
        if self.precedence != precedence {
            self.precedence = precedence;
        }
    }

    /// Whether its spec has to be read again, because it was dropped and is no longer excess.
    pub(super) fn has_to_be_read_again(&self) -> bool {
        matches!(self.result, CompileResult::SpecDropped) && !matches!(self.precedence, Precedence::Excess(_))
    }

    /// The reason of the status.
    pub(super) fn reason(&self) -> ReadyReason {
        match (&self.result, &self.precedence) {
            (CompileResult::Invalid(reason, _), _) => *reason,
            (_, Precedence::NameTaken(_)) => ReadyReason::NameConflict,
            (CompileResult::Valid, Precedence::Free) => ReadyReason::Accepted,
            (CompileResult::SpecDropped, _) | (_, Precedence::Excess(_)) => ReadyReason::Invalid,
        }
    }

    /// The message of the status.
    fn message(&self) -> Cow<'_, str> {
        match (&self.result, &self.precedence) {
            (CompileResult::Invalid(_, faults), precedence) => match (&self.policy, precedence) {
                (Some(_), Precedence::NameTaken(owner)) => format!("{faults}. {}", owner.message()).into(),
                (Some(UsablePolicy { generation: Some(generation), .. }), _) => {
                    format!("{faults}. What generation {generation} denied stays denied").into()
                }
                (Some(_), _) => {
                    format!("{faults}. It denies nevertheless, and what cannot be read of it matches everything").into()
                }
                (None, _) => (&**faults).into(),
            },
            (_, Precedence::NameTaken(owner)) => owner.message().into(),
            (_, Precedence::Excess(why)) => (*why).into(),
            (CompileResult::SpecDropped, Precedence::Free) => {
                "The policy is within the limits again; it is about to be read.".into()
            }
            (CompileResult::Valid, Precedence::Free)
                if self.active_policy().is_some_and(|policy| policy.is_shadow()) =>
            {
                "The policy is in shadow mode (audit): it is evaluated and recorded, and changes nothing.".into()
            }
            (CompileResult::Valid, Precedence::Free) => "The policy is in force.".into(),
        }
    }

    /// The status that the object should have; `None` if it has it.
    pub(super) fn pending_status(&self) -> Option<ResourceStatus> {
        let (reason, message) = (self.reason(), self.message());
        let ready = reason == ReadyReason::Accepted;
        let is_written = self.status.as_ref().is_some_and(|ObservedStatus { status, .. }| {
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

    /// The active policy; `None` if it is not active.
    pub(super) fn active_resource(&self) -> Option<ActiveResource> {
        let policy = self.active_policy()?.clone();
        let is_valid = matches!(self.result, CompileResult::Valid);
        let Self { created_at, updated_at, .. } = *self;
        Some(ActiveResource { policy, is_valid, created_at, updated_at, updated_by: self.updated_by.clone() })
    }
}

/// An object whose spec does not compile.
struct InvalidResource<'a> {
    key: &'a ResourceKey,
    cluster: &'a Arc<str>,
    /// Its spec, if it may deny and was not too large to keep.
    spec: Option<&'a Value>,
    faults: &'a [Fault],
    bounds: &'a Bounds,
}

impl InvalidResource<'_> {
    /// Returns the policy that can be active, and the result for the status. If the policy may deny, its last valid version
    /// stays active; without a valid version, the broadest deny policy of the valid fields is active.
    fn resolve(self, may_deny: bool, last_valid: Option<UsablePolicy>) -> (Option<UsablePolicy>, CompileResult) {
        let Self { key, cluster, spec, faults, bounds } = self;
        let reason = ReadyReason::from_faults(faults);
        let mut text = faults_message(faults);
        if reason == ReadyReason::BeyondCeiling && key.namespace.is_some() && bounds.ceiling.allows_nothing() {
            text.insert_str(0, "No entry of policies.tenants matches the namespace: ");
        }
        let broadest = || {
            // An object without a spec does not say that it denies.
            if spec.is_some_and(Value::is_null) {
                return None;
            }
            let invalid = InvalidSpec { spec, faults, is_namespaced: key.namespace.is_some(), bounds };
            let policy = invalid.compile_broadest_deny(|spec| compile(key, Some(cluster), spec, bounds).ok())?;
            Some(UsablePolicy { policy: Arc::new(policy), generation: None })
        };
        let usable = if may_deny { last_valid.or_else(broadest) } else { None };
        (usable, CompileResult::Invalid(reason, text.into()))
    }
}

/// An active policy of a cluster, with its metadata.
#[derive(Debug, Clone)]
pub struct ActiveResource {
    policy: Arc<Policy>,
    /// Whether it was compiled from the latest spec. An older version, or the broadest deny policy, is not what its author wrote.
    is_valid: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    updated_by: Arc<str>,
}

impl ActiveResource {
    /// The policy in the form of the API; `None` if the latest spec is invalid.
    #[must_use]
    pub fn to_record(&self) -> Option<PolicyRecord> {
        let Self { policy, is_valid, created_at, updated_at, updated_by } = self;
        let source = PolicySource::Kubernetes;
        is_valid.then(|| PolicyRecord::read_only(policy, source, *created_at, *updated_at, updated_by.to_string()))
    }
}
