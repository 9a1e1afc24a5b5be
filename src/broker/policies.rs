//! Verbs of administrators that read policies: list, get, and the revisions of one policy.

use super::administrator::Administrator;
use super::error::Error;
use super::page::Page;
use super::pipeline::Broker;
use crate::admins::{AdminAction, Resource, Verb};
use crate::policy::{PolicyRecord, PolicyRevision, SpecChange, is_policy_or_resource_name};
use crate::wire::policy_object::{PolicyList, PolicyObject, PolicyRevisionList, PolicyRevisionObject, SpecEdit};
use crate::wire::problem::Code;

impl Broker {
    /// A page of policies in bytewise order of name, with the continuation token of the next page.
    ///
    /// # Errors
    /// `denied`, `invalid_request`, `token_review_unavailable`, `database_unavailable`, `audit_unavailable`.
    pub async fn list_policies(&self, administrator: &Administrator, page: Page<String>) -> Result<PolicyList, Error> {
        self.authorise(administrator, policies_action(Verb::List, None)).await?;
        if page.after.as_deref().is_some_and(|after| !is_policy_or_resource_name(after)) {
            return Err(Error::InvalidRequest("continue is not a token of this list"));
        }
        let mut stored = self.stages.policy_register.list(page.after.as_deref(), page.limit_plus_one()).await?;
        let next = page.truncate(&mut stored).map(|last| last.name.clone());
        Ok(PolicyList { items: stored.into_iter().map(policy_object).collect(), continue_token: next })
    }

    /// One policy.
    ///
    /// # Errors
    /// `denied`, `not_found`, `token_review_unavailable`, `database_unavailable`, `audit_unavailable`.
    pub async fn policy(&self, administrator: &Administrator, name: &str) -> Result<PolicyObject, Error> {
        self.authorise(administrator, policies_action(Verb::Get, Some(name))).await?;
        if !is_policy_or_resource_name(name) {
            return Err(Code::NotFound.into());
        }
        self.stages.policy_register.get(name).await?.map(policy_object).ok_or(Error::Plain(Code::NotFound))
    }

    /// A page of the revisions of a policy, newest first, with the continuation token of the next page.
    ///
    /// # Errors
    /// As for [`Broker::policy`].
    pub async fn policy_revisions(
        &self,
        administrator: &Administrator,
        name: &str,
        page: Page<i64>,
    ) -> Result<PolicyRevisionList, Error> {
        self.authorise(administrator, policies_action(Verb::Get, Some(name))).await?;
        if !is_policy_or_resource_name(name) {
            return Err(Code::NotFound.into());
        }
        let mut revisions = self.stages.policy_register.revisions(name, page.after, page.limit_plus_one()).await?;
        let next = page.truncate(&mut revisions).map(|last| last.revision.to_string());
        Ok(PolicyRevisionList { items: revisions.into_iter().map(revision_object).collect(), continue_token: next })
    }
}

/// An action on policies. An invalid name is not sent to the API server.
pub(super) fn policies_action(verb: Verb, name: Option<&str>) -> AdminAction<'_> {
    AdminAction { verb, resource: Resource::Policies, name: name.filter(|name| is_policy_or_resource_name(name)) }
}

pub(super) fn policy_object(policy: PolicyRecord) -> PolicyObject {
    PolicyObject {
        name: policy.name,
        revision: policy.revision,
        created_at: format!("{:.3}", policy.created_at),
        updated_at: format!("{:.3}", policy.updated_at),
        updated_by: policy.updated_by,
        source: policy.source.as_str().into(),
        spec: policy.spec,
    }
}

fn revision_object(revision: PolicyRevision) -> PolicyRevisionObject {
    let edit = |SpecChange { pointer, before, after }| SpecEdit { pointer, before, after };
    PolicyRevisionObject {
        revision: revision.revision.to_string(),
        changed_at: format!("{:.3}", revision.changed_at),
        changed_by: revision.changed_by,
        action: revision.kind.as_str().into(),
        diff: revision.diff.into_iter().map(edit).collect(),
    }
}
