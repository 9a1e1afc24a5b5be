//! Writes of policies: create, replace, delete. Every change is in the audit log before the response.

use super::administer::{Administrator, Unauthorised};
use super::error::Error;
use super::pipeline::Broker;
use super::policies::{object, on_policies};
use crate::admins::Verb;
use crate::audit::{AuditUnavailable, OpenEvent};
use crate::metrics::labels::{EventType, Outcome};
use crate::policy::{Draft, is_policy_or_resource_name};
use crate::policy::{NewPolicy, PolicySource, PolicyStoreError, StoredPolicy, WritePrecondition};
use crate::wire::policy_object::PolicyObject;
use crate::wire::problem::Code;
use bytes::Bytes;

pub use crate::policy::PutOutcome;
pub use crate::policy::Syntax;

/// Maximum number of attempts of a write without a precondition, if concurrent writes are faster.
const ATTEMPTS: usize = 5;
/// The revision in the response to a dry run.
const DRY_RUN: &str = "dry-run";

/// A policy to be written.
#[derive(Debug, Clone)]
pub struct WritePolicy {
    /// The body and its syntax, or why it could not be read, which is recorded as a failed write.
    pub document: Result<(Bytes, Syntax), Code>,
    /// Whether nothing is stored.
    pub dry_run: bool,
}

/// The precondition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// None.
    None,
    /// The policy has one of these revisions.
    OneOf(Vec<String>),
    /// The policy exists.
    Exists,
    /// The policy does not exist.
    Absent,
}

/// Why a policy is not written.
enum NotWritten {
    /// A recorded refusal of the administrator covers it.
    Recorded(Error),
    /// The event of the write names the policy, if its name is valid.
    Failed { error: Error, policy: Option<String> },
}

impl Broker {
    /// Creates a policy with an unused name.
    ///
    /// # Errors
    /// `denied`, `invalid_request`, `invalid_policy`, `already_exists`, `read_only`, `token_review_unavailable`,
    /// `database_unavailable`, `audit_unavailable`.
    pub async fn create_policy(&self, who: &Administrator, write: &WritePolicy) -> Result<PolicyObject, Error> {
        self.authorise(who, on_policies(Verb::Create, None)).await?;
        let event = self.open(who, EventType::PolicyCreated);
        let created = self.create(who, write).await;
        let closing = created.as_ref().map(|policy| (policy.name.clone(), EventType::PolicyCreated));
        close(event, closing, write.dry_run).await?;
        created.map_err(Error::from)
    }

    /// Replaces a policy, or creates it if the name is unused.
    ///
    /// # Errors
    /// As for [`Broker::create_policy`] without `already_exists`; `precondition_failed`.
    pub async fn put_policy(
        &self,
        who: &Administrator,
        name: &str,
        write: &WritePolicy,
        precondition: &Precondition,
    ) -> Result<(PolicyObject, PutOutcome), Error> {
        let verb = if *precondition == Precondition::Absent { Verb::Create } else { Verb::Update };
        self.authorise(who, on_policies(verb, Some(name))).await?;
        let event = self.open(who, EventType::PolicyUpdated);
        let put = self.put(who, name, write, precondition).await;
        let closing = put.as_ref().map(|(_, change)| match change {
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
        who: &Administrator,
        name: &str,
        precondition: &Precondition,
        dry_run: bool,
    ) -> Result<(), Error> {
        self.authorise(who, on_policies(Verb::Delete, Some(name))).await?;
        let event = self.open(who, EventType::PolicyDeleted);
        let deleted = self.delete(who, name, precondition, dry_run).await;
        let deleted = deleted.map_err(|error| NotWritten::failed(name, error));
        let closing = deleted.as_ref().map(|()| (name.to_owned(), EventType::PolicyDeleted));
        close(event, closing, dry_run).await?;
        deleted.map_err(Error::from)
    }

    fn open(&self, who: &Administrator, kind: EventType) -> OpenEvent {
        let mut event = OpenEvent::new(&self.stages.audit, who.context.event(kind, Outcome::Failed));
        event.caller = Some(who.applicant.caller.clone());
        event
    }

    fn draft(&self, write: &WritePolicy, url_name: Option<&str>) -> Result<Draft, Error> {
        let (body, syntax) = write.document.as_ref().map_err(|code| Error::Plain(*code))?;
        Ok(Draft::parse(body, *syntax, url_name, &self.stages.bounds)?)
    }

    async fn create(&self, who: &Administrator, write: &WritePolicy) -> Result<PolicyObject, NotWritten> {
        let draft = self.draft(write, None).map_err(|error| NotWritten::Failed { error, policy: None })?;
        let name = draft.policy.name().clone();
        self.create_draft(who, draft, write.dry_run).await.map_err(|error| NotWritten::failed(&name, error))
    }

    async fn create_draft(&self, who: &Administrator, draft: Draft, dry_run: bool) -> Result<PolicyObject, Error> {
        if dry_run {
            return match self.stages.policy_store.get(draft.policy.name()).await? {
                None => Ok(self.unwritten(who, &draft, None)),
                Some(policy) if policy.source.is_read_only() => Err(Code::ReadOnly.into()),
                Some(_) => Err(Code::AlreadyExists.into()),
            };
        }
        self.can_record()?;
        Ok(object(self.stages.policy_store.create(new_policy(who, draft)).await?))
    }

    async fn put(
        &self,
        who: &Administrator,
        name: &str,
        write: &WritePolicy,
        precondition: &Precondition,
    ) -> Result<(PolicyObject, PutOutcome), NotWritten> {
        let failed = |error| NotWritten::failed(name, error);
        // A body cannot bear such a name, so that its faults would hide the reason.
        if name.contains('/') && is_policy_or_resource_name(name) {
            let current = self.stages.policy_store.get(name).await.map_err(|error| failed(error.into()))?;
            if current.is_some() {
                return Err(failed(Code::ReadOnly.into()));
            }
        }
        let draft = self.draft(write, Some(name)).map_err(failed)?;
        for _ in 0..ATTEMPTS {
            let current = self.stages.policy_store.get(name).await.map_err(|error| failed(error.into()))?;
            let expected = expected(current.as_ref(), precondition).map_err(failed)?;
            // Permission to replace does not include permission to create. The store gets the authorised state as
            // a precondition.
            if expected == WritePrecondition::Absent && *precondition != Precondition::Absent {
                match self.authorise(who, on_policies(Verb::Create, Some(name))).await {
                    Ok(()) => {}
                    Err(Unauthorised::Recorded(code)) => return Err(NotWritten::Recorded(code.into())),
                    Err(Unauthorised::Unrecorded) => return Err(failed(Unauthorised::Unrecorded.into())),
                }
            }
            if write.dry_run {
                let change = if current.is_some() { PutOutcome::Updated } else { PutOutcome::Created };
                return Ok((self.unwritten(who, &draft, current), change));
            }
            self.can_record().map_err(failed)?;
            match self.stages.policy_store.put(new_policy(who, draft.clone()), expected).await {
                Ok((policy, change)) => return Ok((object(policy), change)),
                Err(PolicyStoreError::PreconditionFailed) if *precondition == Precondition::None => {}
                Err(error) => return Err(failed(error.into())),
            }
        }
        // Other writers were faster each time. The caller stated no revision, so this is not a failed precondition.
        Err(failed(Code::DatabaseUnavailable.into()))
    }

    async fn delete(
        &self,
        who: &Administrator,
        name: &str,
        precondition: &Precondition,
        dry_run: bool,
    ) -> Result<(), Error> {
        if !is_policy_or_resource_name(name) {
            return Err(Code::NotFound.into());
        }
        let current = self.stages.policy_store.get(name).await?.ok_or(Error::Plain(Code::NotFound))?;
        let expected = match precondition {
            // Without a precondition this also deletes a stored policy that is hidden by a file's policy of the same name.
            Precondition::None if !dry_run => WritePrecondition::Any,
            precondition => expected(Some(&current), precondition)?,
        };
        if !dry_run {
            self.can_record()?;
            self.stages.policy_store.delete(name, who.subject(), expected).await?;
        }
        Ok(())
    }

    /// Refuses a change that could not be recorded.
    fn can_record(&self) -> Result<(), Error> {
        if self.stages.audit.is_writable() { Ok(()) } else { Err(Code::AuditUnavailable.into()) }
    }

    /// The response to a dry run.
    fn unwritten(&self, who: &Administrator, draft: &Draft, current: Option<StoredPolicy>) -> PolicyObject {
        let now = self.stages.clock.now();
        object(StoredPolicy {
            name: draft.policy.name().to_string(),
            revision: DRY_RUN.into(),
            created_at: current.map_or(now, |policy| policy.created_at),
            updated_at: now,
            updated_by: who.subject().to_owned(),
            source: PolicySource::Api,
            spec: (**draft.policy.spec()).clone(),
        })
    }
}

fn new_policy(who: &Administrator, draft: Draft) -> NewPolicy {
    NewPolicy { policy: draft.policy, written_by: who.subject().to_owned() }
}

/// The precondition for the store, so that a concurrent write is not overwritten.
fn expected(current: Option<&StoredPolicy>, precondition: &Precondition) -> Result<WritePrecondition, Error> {
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

impl NotWritten {
    fn failed(name: &str, error: Error) -> Self {
        Self::Failed { error, policy: is_policy_or_resource_name(name).then(|| name.to_owned()) }
    }
}

impl From<NotWritten> for Error {
    fn from(not_written: NotWritten) -> Self {
        match not_written {
            NotWritten::Recorded(error) | NotWritten::Failed { error, .. } => error,
        }
    }
}

/// Records the result of a write: the name of the policy and the kind of the event, or why it failed. A dry run is not recorded.
async fn close(
    mut event: OpenEvent,
    result: Result<(String, EventType), &NotWritten>,
    dry_run: bool,
) -> Result<(), AuditUnavailable> {
    match result {
        _ if dry_run => {
            event.discard();
            return Ok(());
        }
        Err(NotWritten::Recorded(_)) => {
            event.discard();
            return Ok(());
        }
        Ok((policy, kind)) => {
            (event.kind, event.outcome) = (kind, Outcome::Ok);
            event.policies.push(policy);
        }
        Err(NotWritten::Failed { error, policy }) => {
            event.reason = Some(error.code().as_str());
            event.policies.extend(policy.clone());
        }
    }
    // The policy is active even if its event cannot be written now.
    event.close_or_keep().await
}
