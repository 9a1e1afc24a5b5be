//! A change of one ticket: the payload of the steps of both stores.

use super::caller_limits::CallerLimits;
use super::owner::Owner;
use super::port::Ending;
use super::sealed::Sealed;
use super::ticket::{Ticket, microseconds};
use crate::model::caller::Identity;
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
        let identity = ticket.caller.identity();
        let owner = Owner::of(&identity);
        let account = match identity {
            Identity::Pod { .. } => owner,
            Identity::Token { .. } => Owner::of(&ticket.caller.quota_identity()),
        };
        Self::Issue {
            id: ticket.id,
            owner,
            account,
            issued_at: microseconds(ticket.issued_at),
            expires_at: microseconds(ticket.expires_at),
            sealed,
            limits,
        }
    }
}
