//! Verbs of administrators that write policies: create, replace, delete. A change is recorded before the response is sent.

use super::administrator::{Administrator, AuthorisationError};
use super::error::Error;
use super::pipeline::Broker;
use super::policies::{policies_action, policy_object};
use crate::admins::Verb;
use crate::audit::{AuditUnavailable, OpenEvent};
use crate::metrics::labels::{EventType, Outcome};
use crate::policy::{
    Draft, NewPolicy, PolicyRecord, PolicySource, PolicyStoreError, WritePrecondition, is_policy_or_resource_name,
};
use crate::wire::policy_object::PolicyObject;
use crate::wire::problem::Code;
use bytes::Bytes;

pub use crate::policy::PutOutcome;
pub use crate::policy::Syntax;

/// Maximum number of attempts of a write without a precondition. An attempt is repeated if a concurrent write changes the policy.
/// After the last one the error is `database_unavailable`.
const MAX_ATTEMPTS: usize = 5;
/// The revision in the response to a dry run.
const DRY_RUN: &str = "dry-run";

/// A policy to be written.
#[derive(Debug, Clone)]
pub struct WritePolicy {
    /// The body and its syntax. If the body could not be read, the error is recorded as a failed write.
    pub document: Result<(Bytes, Syntax), Code>,
    /// Whether the policy is only checked, and neither stored nor recorded.
    pub dry_run: bool,
}

/// The precondition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    None,
    /// The policy has one of these revisions.
    OneOf(Vec<String>),
    /// The policy exists.
    Exists,
    /// The policy does not exist.
    Absent,
}

/// Why a policy is not written.
enum WriteError {
    /// The administrator was refused. The refusal has its own event.
    Recorded(Error),
    /// The write failed. Its event names the policy, if the name is valid.
    Failed { error: Error, policy: Option<String> },
}

impl Broker {
    /// Creates a policy with an unused name.
    ///
    /// # Errors
    /// `denied`, `invalid_request`, `invalid_policy`, `already_exists`, `read_only`, `token_review_unavailable`,
    /// `database_unavailable`, `audit_unavailable`.
    pub async fn create_policy(
        &self,
        administrator: &Administrator,
        write: &WritePolicy,
    ) -> Result<PolicyObject, Error> {
        self.authorise(administrator, policies_action(Verb::Create, None)).await?;
        let event = self.open_write_event(administrator, EventType::PolicyCreated);
        let created = self.create(administrator, write).await;
        let closing = created.as_ref().map(|policy| (policy.name.clone(), EventType::PolicyCreated));
        close(event, closing, write.dry_run).await?;
        created.map_err(Error::from)
    }

    /// Replaces a policy, or creates it if the name is unused.
    ///
    /// # Errors
    /// As for [`Broker::create_policy`], but `precondition_failed` instead of `already_exists`.
    pub async fn put_policy(
        &self,
        administrator: &Administrator,
        name: &str,
        write: &WritePolicy,
        precondition: &Precondition,
    ) -> Result<(PolicyObject, PutOutcome), Error> {
        let verb = if *precondition == Precondition::Absent { Verb::Create } else { Verb::Update };
        self.authorise(administrator, policies_action(verb, Some(name))).await?;
        let event = self.open_write_event(administrator, EventType::PolicyUpdated);
        let put = self.put(administrator, name, write, precondition).await;
        let closing = put.as_ref().map(|(_, outcome)| match outcome {
            PutOutcome::Created => (name.to_owned(), EventType::PolicyCreated),
            PutOutcome::Updated => (name.to_owned(), EventType::PolicyUpdated),
        });
        close(event, closing, write.dry_run).await?;
        put.map_err(Error::from)
    }

    /// Deletes a policy.
    ///
    /// # Errors
    /// `denied`, `not_found`, `read_only`, `precondition_failed`, `token_review_unavailable`, `database_unavailable`,
    /// `audit_unavailable`.
    pub async fn delete_policy(
        &self,
        administrator: &Administrator,
        name: &str,
        precondition: &Precondition,
        dry_run: bool,
    ) -> Result<(), Error> {
        self.authorise(administrator, policies_action(Verb::Delete, Some(name))).await?;
        let event = self.open_write_event(administrator, EventType::PolicyDeleted);
        let deleted = self.delete(administrator, name, precondition, dry_run).await;
        let deleted = deleted.map_err(|error| WriteError::failed(name, error));
        let closing = deleted.as_ref().map(|()| (name.to_owned(), EventType::PolicyDeleted));
        close(event, closing, dry_run).await?;
        deleted.map_err(Error::from)
    }

    fn open_write_event(&self, administrator: &Administrator, kind: EventType) -> OpenEvent {
        let mut event = OpenEvent::new(&self.stages.audit, administrator.context.event(kind, Outcome::Failed));
        event.caller = Some(administrator.applicant.caller.clone());
        event
    }

    fn draft(&self, write: &WritePolicy, url_name: Option<&str>) -> Result<Draft, Error> {
        let (body, syntax) = write.document.as_ref().map_err(|code| Error::Plain(*code))?;
        Ok(Draft::parse(body, *syntax, url_name, &self.stages.policy_bounds)?)
    }

    async fn create(&self, administrator: &Administrator, write: &WritePolicy) -> Result<PolicyObject, WriteError> {
        let draft = self.draft(write, None).map_err(|error| WriteError::Failed { error, policy: None })?;
        let name = draft.policy.name().clone();
        self.create_draft(administrator, draft, write.dry_run).await.map_err(|error| WriteError::failed(&name, error))
    }

    async fn create_draft(
        &self,
        administrator: &Administrator,
        draft: Draft,
        dry_run: bool,
    ) -> Result<PolicyObject, Error> {
        if dry_run {
            return match self.stages.policy_register.get(draft.policy.name()).await? {
                None => Ok(self.dry_run_object(administrator, &draft, None)),
                Some(policy) if policy.source.is_read_only() => Err(Code::ReadOnly.into()),
                Some(_) => Err(Code::AlreadyExists.into()),
            };
        }
        self.require_writable_audit()?;
        Ok(policy_object(self.stages.policy_register.create(new_policy(administrator, draft)).await?))
    }

    async fn put(
        &self,
        administrator: &Administrator,
        name: &str,
        write: &WritePolicy,
        precondition: &Precondition,
    ) -> Result<(PolicyObject, PutOutcome), WriteError> {
        let failed = |error| WriteError::failed(name, error);
        // A policy of a namespace is read-only. This is checked before the body is parsed, because no body can have such a name.
        if name.contains('/') && is_policy_or_resource_name(name) {
            let current = self.stages.policy_register.get(name).await.map_err(|error| failed(error.into()))?;
            if current.is_some() {
                return Err(failed(Code::ReadOnly.into()));
            }
        }
        let draft = self.draft(write, Some(name)).map_err(failed)?;
        for _ in 0..MAX_ATTEMPTS {
            let current = self.stages.policy_register.get(name).await.map_err(|error| failed(error.into()))?;
            let expected = check_precondition(current.as_ref(), precondition).map_err(failed)?;
            // Permission to replace does not include permission to create. The store gets the authorised state as a precondition,
            // so that a concurrent deletion cannot turn a replacement into a creation.
            if expected == WritePrecondition::Absent && *precondition != Precondition::Absent {
                match self.authorise(administrator, policies_action(Verb::Create, Some(name))).await {
                    Ok(()) => {}
                    Err(AuthorisationError::Recorded(code)) => return Err(WriteError::Recorded(code.into())),
                    Err(error @ AuthorisationError::Unrecorded) => return Err(failed(error.into())),
                }
            }
            if write.dry_run {
                let outcome = if current.is_some() { PutOutcome::Updated } else { PutOutcome::Created };
                return Ok((self.dry_run_object(administrator, &draft, current), outcome));
            }
            self.require_writable_audit().map_err(failed)?;
            match self.stages.policy_register.put(new_policy(administrator, draft.clone()), expected).await {
                Ok((policy, outcome)) => return Ok((policy_object(policy), outcome)),
                Err(PolicyStoreError::PreconditionFailed) if *precondition == Precondition::None => {}
                Err(error) => return Err(failed(error.into())),
            }
        }
        // The policy changed before each attempt. That is not a failed precondition, because the client stated none.
        Err(failed(Code::DatabaseUnavailable.into()))
    }

    async fn delete(
        &self,
        administrator: &Administrator,
        name: &str,
        precondition: &Precondition,
        dry_run: bool,
    ) -> Result<(), Error> {
        if !is_policy_or_resource_name(name) {
            return Err(Code::NotFound.into());
        }
        let current = self.stages.policy_register.get(name).await?.ok_or(Error::Plain(Code::NotFound))?;
        let expected = match precondition {
            // `Any` also deletes a stored policy that is hidden by a policy of the same name from a file.
            Precondition::None if !dry_run => WritePrecondition::Any,
            precondition => check_precondition(Some(&current), precondition)?,
        };
        if !dry_run {
            self.require_writable_audit()?;
            self.stages.policy_register.delete(name, administrator.subject(), expected).await?;
        }
        Ok(())
    }

    /// Refuses a change if it could not be recorded.
    fn require_writable_audit(&self) -> Result<(), Error> {
        if self.stages.audit.is_writable() { Ok(()) } else { Err(Code::AuditUnavailable.into()) }
    }

    /// The response to a dry run.
    fn dry_run_object(
        &self,
        administrator: &Administrator,
        draft: &Draft,
        current: Option<PolicyRecord>,
    ) -> PolicyObject {
        let now = self.stages.clock.now();
        policy_object(PolicyRecord {
            name: draft.policy.name().to_string(),
            revision: DRY_RUN.into(),
            created_at: current.map_or(now, |policy| policy.created_at),
            updated_at: now,
            updated_by: administrator.subject().to_owned(),
            source: PolicySource::Api,
            spec: (**draft.policy.spec()).clone(),
        })
    }
}

fn new_policy(administrator: &Administrator, draft: Draft) -> NewPolicy {
    NewPolicy { policy: draft.policy, written_by: administrator.subject().to_owned() }
}

/// Checks the precondition against the current policy, and returns the precondition for the store, so that a concurrent write is
/// not overwritten.
fn check_precondition(current: Option<&PolicyRecord>, precondition: &Precondition) -> Result<WritePrecondition, Error> {
    match (current, precondition) {
        (Some(policy), _) if policy.source.is_read_only() => Err(Code::ReadOnly.into()),
        (Some(_), Precondition::Absent) | (None, Precondition::OneOf(_) | Precondition::Exists) => {
            Err(Code::PreconditionFailed.into())
        }
        (Some(policy), Precondition::OneOf(revisions)) if !revisions.contains(&policy.revision) => {
            Err(Code::PreconditionFailed.into())
        }
        (Some(policy), _) => Ok(WritePrecondition::Revision(policy.revision.clone())),
        (None, Precondition::None | Precondition::Absent) => Ok(WritePrecondition::Absent),
    }
}

impl WriteError {
    fn failed(name: &str, error: Error) -> Self {
        Self::Failed { error, policy: is_policy_or_resource_name(name).then(|| name.to_owned()) }
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Recorded(error) | WriteError::Failed { error, .. } => error,
        }
    }
}

/// Records the result of a write: the policy's name and the event's type, or why the write failed. A dry run is not recorded.
async fn close(
    mut event: OpenEvent,
    result: Result<(String, EventType), &WriteError>,
    dry_run: bool,
) -> Result<(), AuditUnavailable> {
    match result {
        _ if dry_run => {
            event.discard();
            return Ok(());
        }
        Err(WriteError::Recorded(_)) => {
            event.discard();
            return Ok(());
        }
        Ok((policy, kind)) => {
            (event.kind, event.outcome) = (kind, Outcome::Ok);
            event.policies.push(policy.into());
        }
        Err(WriteError::Failed { error, policy }) => {
            event.reason = Some(error.code().as_str());
            event.policies.extend(policy.as_deref().map(Into::into));
        }
    }
    // The event must not be lost: the policy is active even if its event cannot be written now.
    event.close_or_queue().await
}
