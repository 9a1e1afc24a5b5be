//! Authorisation of administrators, which is the first step of each of their verbs.

use super::context::Context;
use super::error::Error;
use super::pipeline::Broker;
use crate::admins::{AdminAction, AdminsError, Resource};
use crate::audit::{AuditUnavailable, OpenEvent};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::applicant::Applicant;
use crate::wire::problem::Code;

/// Maximum length of a policy's name.
const MAX_NAME_CHARS: usize = 253;

/// An authenticated user of the admin API. Each verb still has to authorise the user.
#[derive(Debug, Clone)]
pub struct Administrator {
    pub applicant: Applicant,
    pub context: Context,
}

impl Administrator {
    /// The subject that is recorded as the author of a change.
    pub(super) fn subject(&self) -> &str {
        &self.applicant.caller.subject
    }
}

/// Why an administrator is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthorisationError {
    /// `denied`, or `token_review_unavailable` if the API server cannot be reached. The refusal is recorded.
    Recorded(Code),
    /// The refusal could not be recorded.
    Unrecorded,
}

impl From<AuthorisationError> for Error {
    fn from(error: AuthorisationError) -> Self {
        match error {
            AuthorisationError::Recorded(code) => code.into(),
            AuthorisationError::Unrecorded => AuditUnavailable.into(),
        }
    }
}

impl Broker {
    /// Authorises an administrator. A refusal is recorded before this returns.
    pub(super) async fn authorise(
        &self,
        administrator: &Administrator,
        action: AdminAction<'_>,
    ) -> Result<(), AuthorisationError> {
        let Err(error) = self.stages.administrators.authorise(&administrator.applicant, action).await else {
            return Ok(());
        };
        let (code, outcome, reason) = match error {
            AdminsError::Refused(refusal) => (Code::Denied, Outcome::Denied, refusal.as_str()),
            AdminsError::Unavailable => {
                let code = Code::TokenReviewUnavailable;
                (code, Outcome::Failed, code.as_str())
            }
        };
        let mut event =
            OpenEvent::new(&self.stages.audit, administrator.context.event(EventType::AdminDenied, outcome));
        event.caller = Some(administrator.applicant.caller.clone());
        match action.resource {
            // The name is not checked yet, so its length is bounded here.
            Resource::Policies => {
                let bounded = |name: &str| name.chars().take(MAX_NAME_CHARS).collect::<String>().into();
                event.policies.extend(action.name.map(bounded));
            }
            Resource::Tickets => event.ticket_id = action.name.and_then(|name| name.parse().ok()),
            Resource::Leases | Resource::Audit | Resource::Decisions => {}
        }
        event.reason = Some(reason);
        Err(match self.record_or_count_refusal(event).await {
            Ok(()) => AuthorisationError::Recorded(code),
            Err(AuditUnavailable) => AuthorisationError::Unrecorded,
        })
    }
}
