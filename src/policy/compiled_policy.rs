//! A compiled policy.

use super::attestation::AttestSection;
use super::ceiling::Ceiling;
use super::cel::Expression;
use super::key_selection::KeySelection;
use super::outcome::{AllowedDeliveries, GrantedSecret};
use super::patterns::Patterns;
use super::subject::Subject;
use super::template::Template;
use super::write_template::WriteTemplate;
use crate::model::caller::Caller;
use crate::model::facts::Needs;
use crate::model::lease::{Encoding, LeaseMode};
use crate::model::policy_ref::PolicyRef;
use crate::model::request::Request;
use crate::model::secret_ref::SecretRef;
use crate::model::ticket_binding::TicketBinding;
use crate::wire::policy::PolicySpec;
use std::sync::Arc;
use std::time::Duration;

/// A valid policy: which callers get which secrets for which repos and branches. Created only by compiling a spec, as in
/// [`Policy::compile`].
#[derive(Debug)]
pub struct Policy {
    pub(super) name: Arc<str>,
    pub(super) revision: Arc<str>,
    pub(super) subjects: Box<[Subject]>,
    pub(super) repos: Patterns,
    pub(super) branches: Patterns,
    pub(super) attest: AttestSection,
    pub(super) condition: Option<Expression>,
    pub(super) effect: Effect,
    pub(super) mode: Mode,
    /// The spec as its author wrote it.
    pub(super) spec: Arc<PolicySpec>,
}

/// The effect of a policy that matches.
#[derive(Debug)]
pub(super) enum Effect {
    /// Grants secrets unless a deny policy matches.
    Allow(GrantTerms),
    /// Denies the request, regardless of other policies.
    Deny,
}

/// Whether a policy affects decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It affects decisions.
    Enforce,
    /// Shadow mode: it affects no decision; what it would change is recorded.
    Audit,
}

/// What an allow policy grants.
#[derive(Debug)]
pub(super) struct GrantTerms {
    /// Never empty.
    pub(super) secrets: Box<[SecretTemplate]>,
    pub(super) ttl: Option<Duration>,
    pub(super) binding: Option<TicketBinding>,
    pub(super) delivery: AllowedDeliveries,
    /// Maximum number of tickets per pod, or per OIDC token.
    pub(super) max_per_caller: Option<u32>,
    /// Every expanded path is checked against it, because the value of a placeholder can lead outside of it.
    pub(super) ceiling: Ceiling,
}

/// A secret of an allow policy, with placeholders.
#[derive(Debug)]
pub(super) struct SecretTemplate {
    pub(super) store: Arc<str>,
    pub(super) path: Template,
    pub(super) required: bool,
    pub(super) lease: LeaseMode,
    pub(super) write: Option<WriteTemplate>,
    pub(super) encoding: Encoding,
    pub(super) key_selection: Arc<KeySelection>,
}

closed_enum! {
    /// The part of a policy that does not match.
    pub enum MismatchKind {
        Subjects => "subjects",
        Repos => "repos",
        Branches => "branches",
        Attestation => "attestation",
        Condition => "condition",
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

    /// Whether it is in shadow mode (`mode: audit`): it affects no decision; what it would change is recorded.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.mode == Mode::Audit
    }

    /// The spec as its author wrote it.
    #[must_use]
    pub fn spec(&self) -> &Arc<PolicySpec> {
        &self.spec
    }

    pub(super) fn has_subject(&self, caller: &Caller) -> bool {
        self.subjects.iter().any(|subject| subject.matches(caller))
    }

    /// Whether a subject matches the caller's cluster, namespace and ServiceAccount, regardless of the subject's `bound`.
    pub(super) fn matches_service_account(&self, caller: &Caller) -> bool {
        self.subjects.iter().any(|subject| subject.matches_service_account(caller))
    }

    /// Whether the patterns match the repo and the branch; `None`, if one is not known yet, counts as matching.
    pub(super) fn may_match(&self, repo: Option<&str>, branch: Option<&str>) -> bool {
        repo.is_none_or(|repo| self.repos.matches(repo)) && branch.is_none_or(|branch| self.branches.matches(branch))
    }

    /// The facts that its condition needs.
    pub(super) fn condition_needs(&self) -> Needs {
        self.condition.as_ref().map_or_else(Needs::default, Expression::needs)
    }

    /// Its name and revision.
    pub(super) fn policy_ref(&self) -> PolicyRef {
        PolicyRef { name: self.name.clone(), revision: self.revision.clone() }
    }
}

impl GrantTerms {
    /// Expands the paths and write bodies of the secrets; returns the secrets in the order listed. `None` if a path or body cannot
    /// be expanded, or a path is outside the ceiling: a policy grants all its secrets or none.
    pub(super) fn expand(&self, caller: &Caller, request: &Request) -> Option<Vec<GrantedSecret>> {
        let expand = |template: &SecretTemplate| {
            let path =
                template.path.expand(caller, request).filter(|path| self.ceiling.allows(&template.store, path))?;
            let write = match &template.write {
                Some(body) => Some(body.expand(caller, request)?),
                None => None,
            };
            Some(GrantedSecret {
                secret: SecretRef { store: template.store.clone(), path },
                key_selection: template.key_selection.clone(),
                required: template.required,
                lease: template.lease,
                write,
                encoding: template.encoding,
            })
        };
        self.secrets.iter().map(expand).collect()
    }
}
