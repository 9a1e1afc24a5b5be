//! A request for secrets, and the form of delivery.

use super::context::Context;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::caller::Caller;
use crate::policy::Delivery;
use crate::wire::ticket::TicketRequest;
use std::sync::Arc;

/// A request for secrets by an authenticated caller.
#[derive(Debug)]
pub struct IssueRequest {
    /// The authenticated caller.
    pub caller: Arc<Caller>,
    /// The body.
    pub request: TicketRequest,
    /// The source of the request.
    pub context: Context,
    /// Whether the lengths of the values are returned with a ticket.
    pub sizes: bool,
}

/// The form of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryMode {
    /// By a ticket.
    Ticket,
    /// In the response.
    Direct,
}

impl DeliveryMode {
    /// The event of a request that was refused.
    pub(super) const fn refused(self, outcome: Outcome) -> EventType {
        match (self, outcome) {
            (Self::Direct, _) => EventType::SecretsRead,
            (Self::Ticket, Outcome::Denied) => EventType::TicketDenied,
            (Self::Ticket, _) => EventType::TicketFailed,
        }
    }

    /// Whether this caller gets its secrets in this way, if a decision allows these deliveries. A ticket is for a pod that redeems
    /// it once; a caller without one gets its secrets in the response.
    pub(super) const fn hands_over(self, delivery: Delivery, caller: &Caller) -> bool {
        match self {
            Self::Ticket => delivery.ticket && caller.unbound.is_none(),
            Self::Direct => delivery.direct,
        }
    }
}
