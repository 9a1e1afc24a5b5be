//! Authorisation of administrators: the first step of each of their verbs.

use super::context::Context;
use super::error::Error;
use super::pipeline::Broker;
use crate::admins::{Act, AdminsError, Resource};
use crate::audit::{AuditUnavailable, OpenEvent};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::applicant::Applicant;
use crate::wire::problem::Code;

/// Maximum length of a policy's name, in characters.
const MAX_NAME: usize = 253;

/// An authenticated user of the admin API. Each verb authorises them itself.
#[derive(Debug, Clone)]
pub struct Administrator {
    pub applicant: Applicant,
    pub context: Context,
}

impl Administrator {
    /// The subject that a change is recorded under.
    pub(super) fn subject(&self) -> &str {
        &self.applicant.caller.subject
    }
}

/// Why an administrator is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unauthorised {
    /// `denied`, or `token_review_unavailable` if the API server cannot be reached. The event is recorded.
    Recorded(Code),
    /// The event of the refusal is not recorded.
    Unrecorded,
}

impl From<Unauthorised> for Error {
    fn from(unauthorised: Unauthorised) -> Self {
        match unauthorised {
            Unauthorised::Recorded(code) => code.into(),
            Unauthorised::Unrecorded => AuditUnavailable.into(),
        }
    }
}

impl Broker {
    /// Authorises an administrator. A refusal is recorded before it is answered.
    pub(super) async fn authorise(&self, who: &Administrator, act: Act<'_>) -> Result<(), Unauthorised> {
        let Err(error) = self.stages.administrators.authorise(&who.applicant, act).await else { return Ok(()) };
        let (code, outcome, reason) = match error {
            AdminsError::Refused(refusal) => (Code::Denied, Outcome::Denied, refusal.as_str()),
            AdminsError::Unavailable => {
                let code = Code::TokenReviewUnavailable;
                (code, Outcome::Failed, code.as_str())
            }
        };
        let mut event = OpenEvent::new(&self.stages.audit, who.context.event(EventType::AdminDenied, outcome));
        event.caller = Some(who.applicant.caller.clone());
        match act.resource {
            // The name is unchecked: it is cut to the longest valid length.
            Resource::Policies => event.policies.extend(act.name.map(|name| name.chars().take(MAX_NAME).collect())),
            Resource::Tickets => event.ticket_id = act.name.and_then(|name| name.parse().ok()),
            Resource::Leases | Resource::Audit | Resource::Decisions => {}
        }
        event.reason = Some(reason);
        Err(match self.record_refused(event).await {
            Ok(()) => Unauthorised::Recorded(code),
            Err(AuditUnavailable) => Unauthorised::Unrecorded,
        })
    }
}
