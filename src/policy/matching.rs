//! A compiled policy.

use super::attestation::Attest;
use super::ceiling::Ceiling;
use super::cel::Expression;
use super::outcome::{Delivery, GrantedSecret};
use super::patterns::Patterns;
use super::secret_rule::SecretRule;
use super::subject::Subject;
use super::template::Template;
use super::write::WriteTemplate;
use crate::model::binding::BindTo;
use crate::model::caller::Caller;
use crate::model::facts::Needs;
use crate::model::lease::{Encoding, LeaseMode};
use crate::model::policy_ref::PolicyRef;
use crate::model::request::Request;
use crate::model::secret_ref::SecretRef;
use crate::wire::policy::PolicySpec;
use std::sync::Arc;
use std::time::Duration;

/// A valid policy: which callers get which secrets for which repos and branches. Created only by
/// [`Policy::compile`] and the functions based on it.
#[derive(Debug)]
pub struct Policy {
    pub(super) name: Arc<str>,
    pub(super) revision: Arc<str>,
    pub(super) subjects: Box<[Subject]>,
    pub(super) repos: Patterns,
    pub(super) branches: Patterns,
    pub(super) attest: Attest,
    pub(super) condition: Option<Expression>,
    pub(super) effect: Effect,
    pub(super) mode: Mode,
    /// The spec as written.
    pub(super) spec: Arc<PolicySpec>,
}

/// The effect of a policy that matches.
#[derive(Debug)]
pub(super) enum Effect {
    /// Grants secrets, unless another policy denies.
    Allow(Terms),
    /// Denies, regardless of other policies.
    Deny,
}

/// Whether a policy takes part in decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It does.
    Enforce,
    /// It does not: what it would change is recorded.
    Audit,
}

/// What an allow policy grants, and how.
#[derive(Debug)]
pub(super) struct Terms {
    /// Never empty.
    pub(super) secrets: Box<[SecretTerm]>,
    pub(super) ttl: Option<Duration>,
    pub(super) bind_to: Option<BindTo>,
    pub(super) delivery: Delivery,
    /// The maximum number of tickets of one caller.
    pub(super) max_per_caller: Option<u32>,
    /// Checked again for every filled-in path, because a placeholder can lead outside.
    pub(super) ceiling: Ceiling,
}

/// One granted secret.
#[derive(Debug)]
pub(super) struct SecretTerm {
    pub(super) store: Arc<str>,
    pub(super) path: Template,
    pub(super) required: bool,
    pub(super) lease: LeaseMode,
    pub(super) write: Option<WriteTemplate>,
    pub(super) encoding: Encoding,
    pub(super) rule: Arc<SecretRule>,
}

/// The first part of a policy that does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MismatchKind {
    Subjects,
    Repos,
    Branches,
    Attestation,
    Condition,
}

impl MismatchKind {
    /// The value in explanations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subjects => "subjects",
            Self::Repos => "repos",
            Self::Branches => "branches",
            Self::Attestation => "attestation",
            Self::Condition => "condition",
        }
    }
}

impl Policy {
    /// The unique name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// A digest of the spec, as 32 hex digits.
    #[must_use]
    pub fn revision(&self) -> &Arc<str> {
        &self.revision
    }

    /// Whether it is a deny policy.
    #[must_use]
    pub fn denies(&self) -> bool {
        matches!(self.effect, Effect::Deny)
    }

    /// Whether it is in shadow mode (`mode: audit`): evaluated and recorded, and without effect.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.mode == Mode::Audit
    }

    /// The spec as it was written.
    #[must_use]
    pub fn spec(&self) -> &Arc<PolicySpec> {
        &self.spec
    }

    /// Whether the caller is one of its subjects.
    pub(super) fn has_subject(&self, caller: &Caller) -> bool {
        self.subjects.iter().any(|subject| subject.matches(caller))
    }

    /// Whether a subject names the caller's ServiceAccount.
    pub(super) fn names(&self, caller: &Caller) -> bool {
        self.subjects.iter().any(|subject| subject.names(caller))
    }

    /// The facts that its condition needs.
    pub(super) fn condition_needs(&self) -> Needs {
        self.condition.as_ref().map_or_else(Needs::default, Expression::needs)
    }

    pub(super) fn reference(&self) -> PolicyRef {
        PolicyRef { name: self.name.clone(), revision: self.revision.clone() }
    }
}

impl Terms {
    /// The secrets with their paths and write bodies filled in, in the order listed. `None` if one cannot be
    /// filled in, or if a path is outside the ceiling: a policy grants all listed secrets or none.
    pub(super) fn fill(&self, caller: &Caller, request: &Request) -> Option<Vec<GrantedSecret>> {
        let fill = |term: &SecretTerm| {
            let path = term.path.fill(caller, request).filter(|path| self.ceiling.allows(&term.store, path))?;
            let write = match &term.write {
                Some(template) => Some(template.fill(caller, request)?),
                None => None,
            };
            Some(GrantedSecret {
                secret: SecretRef { store: term.store.clone(), path },
                rule: term.rule.clone(),
                required: term.required,
                lease: term.lease,
                write,
                encoding: term.encoding,
            })
        };
        self.secrets.iter().map(fill).collect()
    }
}
