//! Policies written: created, replaced, deleted. Every change is in the audit log before it is answered.

use super::administer::Administrator;
use super::error::Error;
use super::pipeline::Broker;
use super::policies::{object, on_policies};
use crate::admins::Verb;
use crate::audit::{Event, OpenEvent};
use crate::metrics::labels::{EventType, Outcome};
use crate::policy::{Draft, is_policy_name};
use crate::policy::{Expected, NewPolicy, PolicyStoreError, Source, StoredPolicy};
use crate::wire::policy_object::PolicyObject;
use crate::wire::problem::Code;
use bytes::Bytes;

pub use crate::policy::Change;
pub use crate::policy::Syntax;

/// How often a write without a precondition gives mode to somebody who was faster.
const ATTEMPTS: usize = 5;
/// The revision of an answer for which nothing was stored.
const DRY_RUN: &str = "dry-run";

/// A policy to be written.
#[derive(Debug, Clone)]
pub struct WritePolicy {
    /// The body, as it came, and in what it is written; or why it could not be read, which is a failed write too.
    pub document: Result<(Bytes, Syntax), Code>,
    /// Whether to check and answer only.
    pub dry_run: bool,
}

/// What a writer takes to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Anything or nothing.
    None,
    /// A policy with one of these revisions.
    OneOf(Vec<String>),
    /// A policy.
    Exists,
    /// No policy.
    Absent,
}

impl Broker {
    /// Creates a policy whose name is free.
    ///
    /// # Errors
    /// `denied`, `invalid_request`, `invalid_policy`, `already_exists`, `read_only`, and what cannot be reached.
    pub async fn create_policy(&self, who: &Administrator, write: &WritePolicy) -> Result<PolicyObject, Error> {
        self.authorise(who, on_policies(Verb::Create, None)).await?;
        let mut event = self.open(who, EventType::PolicyCreated);
        let created = self.create(who, write, &mut event).await;
        close(event, created, write.dry_run).await
    }

    /// Replaces a policy, or creates it where the name is free.
    ///
    /// # Errors
    /// As for [`Broker::create_policy`] without `already_exists`; `precondition_failed`.
    pub async fn put_policy(
        &self,
        who: &Administrator,
        name: &str,
        write: &WritePolicy,
        precondition: &Precondition,
    ) -> Result<(PolicyObject, Change), Error> {
        let verb = if *precondition == Precondition::Absent { Verb::Create } else { Verb::Update };
        self.authorise(who, on_policies(verb, Some(name))).await?;
        let mut event = self.open(who, EventType::PolicyUpdated);
        let put = self.put(who, name, write, precondition, &mut event).await;
        if let Ok((_, Change::Created)) = &put {
            event.kind = EventType::PolicyCreated;
        }
        close(event, put, write.dry_run).await
    }

    /// Deletes a policy.
    ///
    /// # Errors
    /// `denied`, `not_found`, `read_only`, `precondition_failed`, and what cannot be reached.
    pub async fn delete_policy(
        &self,
        who: &Administrator,
        name: &str,
        precondition: &Precondition,
        dry_run: bool,
    ) -> Result<(), Error> {
        self.authorise(who, on_policies(Verb::Delete, Some(name))).await?;
        let mut event = self.open(who, EventType::PolicyDeleted);
        let deleted = self.delete(who, name, precondition, dry_run, &mut event).await;
        close(event, deleted, dry_run).await
    }

    fn open(&self, who: &Administrator, kind: EventType) -> OpenEvent {
        let mut event = OpenEvent::new(&self.stages.audit, who.context.event(kind, Outcome::Failed));
        event.caller = Some(who.applicant.caller.clone());
        event
    }

    fn draft(&self, write: &WritePolicy, written_to: Option<&str>) -> Result<Draft, Error> {
        let (body, syntax) = write.document.as_ref().map_err(|code| Error::Plain(*code))?;
        Ok(Draft::read(body, *syntax, written_to, &self.stages.bounds)?)
    }

    async fn create(&self, who: &Administrator, write: &WritePolicy, event: &mut Event) -> Result<PolicyObject, Error> {
        let draft = self.draft(write, None)?;
        event.policies.push(draft.name.clone());
        if write.dry_run {
            return match self.stages.policy_store.get(&draft.name).await? {
                None => Ok(self.unwritten(who, draft, None)),
                Some(StoredPolicy { source: Source::File, .. }) => Err(Code::ReadOnly.into()),
                Some(_) => Err(Code::AlreadyExists.into()),
            };
        }
        self.can_record()?;
        Ok(object(self.stages.policy_store.create(by(who, draft)).await?))
    }

    async fn put(
        &self,
        who: &Administrator,
        name: &str,
        write: &WritePolicy,
        precondition: &Precondition,
        event: &mut Event,
    ) -> Result<(PolicyObject, Change), Error> {
        event.policies.extend(is_policy_name(name).then(|| name.to_owned()));
        let draft = self.draft(write, Some(name))?;
        for _ in 0..ATTEMPTS {
            let current = self.stages.policy_store.get(name).await?;
            let expected = expected(current.as_ref(), precondition)?;
            // Whoever may replace may not therefore create. What was authorised is what the store is told to expect.
            if expected == Expected::Absent && *precondition != Precondition::Absent {
                self.authorise(who, on_policies(Verb::Create, Some(name))).await?;
            }
            if write.dry_run {
                let change = if current.is_some() { Change::Updated } else { Change::Created };
                return Ok((self.unwritten(who, draft, current), change));
            }
            self.can_record()?;
            match self.stages.policy_store.put(by(who, draft.clone()), expected).await {
                Ok((policy, change)) => return Ok((object(policy), change)),
                Err(PolicyStoreError::PreconditionFailed) if *precondition == Precondition::None => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Others were faster each time. Nobody asked for a revision, so this is no failed precondition.
        Err(Code::DatabaseUnavailable.into())
    }

    async fn delete(
        &self,
        who: &Administrator,
        name: &str,
        precondition: &Precondition,
        dry_run: bool,
        event: &mut Event,
    ) -> Result<(), Error> {
        if !is_policy_name(name) {
            return Err(Code::NotFound.into());
        }
        event.policies.push(name.to_owned());
        let current = self.stages.policy_store.get(name).await?.ok_or(Error::Plain(Code::NotFound))?;
        let expected = match precondition {
            // Whatever is there is to go; behind a file's policy that is a stored one of its name.
            Precondition::None if !dry_run => Expected::Any,
            precondition => expected(Some(&current), precondition)?,
        };
        if !dry_run {
            self.can_record()?;
            self.stages.policy_store.delete(name, who.subject(), expected).await?;
        }
        Ok(())
    }

    /// Nothing is changed that cannot be recorded.
    fn can_record(&self) -> Result<(), Error> {
        if self.stages.audit.is_writable() { Ok(()) } else { Err(Code::AuditUnavailable.into()) }
    }

    /// The answer to a dry run.
    fn unwritten(&self, who: &Administrator, draft: Draft, current: Option<StoredPolicy>) -> PolicyObject {
        let now = self.stages.clock.now();
        object(StoredPolicy {
            name: draft.name,
            revision: DRY_RUN.into(),
            created_at: current.map_or(now, |policy| policy.created_at),
            updated_at: now,
            updated_by: who.subject().to_owned(),
            source: Source::Api,
            spec: draft.spec,
        })
    }
}

fn by(who: &Administrator, draft: Draft) -> NewPolicy {
    NewPolicy { name: draft.name, spec: draft.spec, by: who.subject().to_owned() }
}

/// What the store is told to expect, so that what was looked at is what is written.
fn expected(current: Option<&StoredPolicy>, precondition: &Precondition) -> Result<Expected, Error> {
    match (current, precondition) {
        (Some(StoredPolicy { source: Source::File, .. }), _) => Err(Code::ReadOnly.into()),
        (Some(_), Precondition::Absent) | (None, Precondition::OneOf(_) | Precondition::Exists) => {
            Err(Code::PreconditionFailed.into())
        }
        (Some(policy), Precondition::OneOf(revisions)) if !revisions.contains(&policy.revision) => {
            Err(Code::PreconditionFailed.into())
        }
        (Some(policy), _) => Ok(Expected::Revision(policy.revision.clone())),
        (None, Precondition::None | Precondition::Absent) => Ok(Expected::Absent),
    }
}

/// Records how a write ended. A dry run changed nothing and is not recorded.
async fn close<T>(mut event: OpenEvent, ended: Result<T, Error>, dry_run: bool) -> Result<T, Error> {
    if dry_run {
        event.discard();
        return ended;
    }
    match &ended {
        Ok(_) => event.outcome = Outcome::Ok,
        // Recorded already, as what it is.
        Err(Error::Plain(Code::Denied | Code::TokenReviewUnavailable)) => {
            event.discard();
            return ended;
        }
        Err(error) => event.reason = Some(error.code().as_str()),
    }
    // The policy is in force whether or not its event can be written now.
    event.close_or_keep().await?;
    ended
}
