//! A change of one ticket: the payload of the steps of both stores.

use super::caller_limits::CallerLimits;
use super::owner::Owner;
use super::port::Ending;
use super::sealed::Sealed;
use super::ticket::{Ticket, microseconds};
use crate::model::ticket::TicketId;
use std::sync::Arc;

pub enum Change {
    Issue {
        id: TicketId,
        owner: Owner,
        /// The issuer and subject of the owner, with any token.
        account: Owner,
        issued_at: i64,
        expires_at: i64,
        sealed: Sealed,
        limits: Option<Arc<CallerLimits>>,
    },
    End {
        id: TicketId,
        ending: Ending,
    },
}

impl Change {
    pub fn issue(ticket: &Ticket, sealed: Sealed, limits: Option<Arc<CallerLimits>>) -> Self {
        Self::Issue {
            id: ticket.id,
            owner: Owner::of(&ticket.caller.identity()),
            account: Owner::of(&ticket.caller.account()),
            issued_at: microseconds(ticket.issued_at),
            expires_at: microseconds(ticket.expires_at),
            sealed,
            limits,
        }
    }
}
