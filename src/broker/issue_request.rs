//! A request for secrets, and the form of delivery.

use super::context::Context;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::caller::Caller;
use crate::policy::AllowedDeliveries;
use crate::wire::ticket::TicketRequest;
use std::sync::Arc;

/// A request for secrets by an authenticated caller.
#[derive(Debug)]
pub struct IssueRequest {
    /// The authenticated caller.
    pub caller: Arc<Caller>,
    pub body: TicketRequest,
    /// The source of the request.
    pub context: Context,
    /// Whether the lengths of the values are returned with a ticket.
    pub sizes: bool,
}

/// The form of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryMode {
    Ticket,
    /// In the response.
    Direct,
}

impl DeliveryMode {
    /// The type of the audit event of a request that got no secrets. For direct delivery it is the type of successful
    /// requests too: the outcome of the event tells them apart.
    pub(super) const fn refusal_event_type(self, outcome: Outcome) -> EventType {
        match (self, outcome) {
            (Self::Direct, _) => EventType::SecretsRead,
            (Self::Ticket, Outcome::Denied) => EventType::TicketDenied,
            (Self::Ticket, _) => EventType::TicketFailed,
        }
    }

    /// Whether this caller may get its secrets in this mode, if the decision allows `delivery`. A ServiceAccount whose token is
    /// not bound to a pod gets its secrets only in the response; an OIDC caller may get a ticket.
    pub(super) const fn is_allowed(self, delivery: AllowedDeliveries, caller: &Caller) -> bool {
        match self {
            Self::Ticket => delivery.ticket && caller.unbound_account.is_none(),
            Self::Direct => delivery.direct,
        }
    }
}
