//! Refusals of requests for secrets, and how they are recorded.

use super::context::Context;
use super::error::Error;
use super::issue_request::{DeliveryMode, IssueRequest};
use super::pipeline::Broker;
use crate::audit::{Event, OpenEvent};
use crate::metrics::labels::Outcome;
use crate::model::branch::Branch;
use crate::model::caller::Caller;
use crate::model::repo::Repo;
use crate::model::secret_ref::SecretVersion;
use crate::model::shadow::ShadowVerdict;
use crate::policy::Grant;
use crate::wire::problem::Code;
use std::sync::Arc;

/// Why a request for secrets is refused: the error for the client, and the fields of the audit event.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: Error,
    pub(super) outcome: Outcome,
    pub(super) reason: &'static str,
    pub(super) event_data: Box<EventData>,
}

/// The data for the audit event of a request for secrets, as far as known.
#[derive(Debug, Default)]
pub(super) struct EventData {
    pub(super) repo: Option<Repo>,
    pub(super) branch: Option<Branch>,
    pub(super) policies: Vec<Arc<str>>,
    pub(super) secrets: Arc<[SecretVersion]>,
    pub(super) keys: Arc<[String]>,
    pub(super) shadow: Vec<ShadowVerdict>,
}

impl Refusal {
    /// A failed request. The reason in the event is the error's code.
    pub(super) fn new(error: impl Into<Error>, event_data: EventData) -> Self {
        let error = error.into();
        let reason = error.code().as_str();
        Self { error, outcome: Outcome::Failed, reason, event_data: Box::new(event_data) }
    }
}

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::new(error, EventData::default())
    }
}

impl EventData {
    /// The data of a granted request.
    pub(super) fn from_grant(grant: &Grant) -> Self {
        Self {
            repo: Some(grant.request.repo.clone()),
            branch: Some(grant.request.branch.clone()),
            policies: grant.policies.iter().map(|policy| policy.name.clone()).collect(),
            ..Self::default()
        }
    }

    pub(super) fn write_into(self, event: &mut Event) {
        let Self { repo, branch, policies, secrets, keys, shadow } = self;
        (event.repo, event.branch, event.policies) = (repo, branch, policies);
        (event.secrets, event.keys, event.shadow) = (secrets, keys, shadow);
    }
}

impl Broker {
    /// Opens the event of a request for secrets.
    pub(super) fn open_event(&self, caller: Arc<Caller>, context: &Context, mode: DeliveryMode) -> OpenEvent {
        let event = context.event(mode.refusal_event_type(Outcome::Failed), Outcome::Failed);
        let mut event = OpenEvent::new(&self.stages.audit, event);
        event.caller = Some(caller);
        event
    }

    /// Closes the event of a refused request for secrets, and returns the error for the client.
    pub(super) async fn close_refused(
        &self,
        mut event: OpenEvent,
        refusal: Refusal,
        request: &IssueRequest,
        mode: DeliveryMode,
    ) -> Error {
        let Refusal { error, outcome, reason, event_data } = refusal;
        if error.code() == Code::RateLimited {
            // Only counted: with an event for each request, one caller could fill the disk.
            self.count_rate_limited(&request.context, mode);
            event.discard();
            return error;
        }
        event_data.write_into(&mut event);
        (event.kind, event.outcome, event.reason) = (mode.refusal_event_type(outcome), outcome, Some(reason));
        self.record_or_count_refusal(event).await.err().map_or(error, Error::from)
    }

    /// Records that the body of an authenticated request cannot be read, and returns the error for the client.
    pub async fn refuse_unreadable(
        &self,
        caller: Arc<Caller>,
        context: &Context,
        mode: DeliveryMode,
        error: Error,
    ) -> Error {
        if !self.requests.charge(caller.quota_identity()) {
            self.count_rate_limited(context, mode);
            return Code::RateLimited.into();
        }
        let mut event = self.open_event(caller, context, mode);
        event.reason = Some(error.code().as_str());
        self.record_or_count_refusal(event).await.err().map_or(error, Error::from)
    }

    fn count_rate_limited(&self, context: &Context, mode: DeliveryMode) {
        let kind = mode.refusal_event_type(Outcome::Failed);
        self.aggregated.add(kind, Outcome::Failed, Code::RateLimited.as_str(), context.source_ip);
    }
}
