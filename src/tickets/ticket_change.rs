//! The payload of a [`crate::database::Step`] of either ticket store: a ticket to issue or to end.

use super::caller_limits::CallerLimits;
use super::owner_digest::OwnerDigest;
use super::port::FinalState;
use super::sealed_bundle::SealedBundle;
use super::ticket::{Ticket, to_microseconds};
use crate::model::caller::Identity;
use crate::model::ticket::TicketId;
use std::sync::Arc;

pub enum TicketChange {
    Issue {
        id: TicketId,
        owner: OwnerDigest,
        /// The digest of issuer and subject without the token's ID. Equal to `owner` for a pod.
        account: OwnerDigest,
        issued_at: i64,
        expires_at: i64,
        sealed: SealedBundle,
        limits: Option<Arc<CallerLimits>>,
    },
    End {
        id: TicketId,
        final_state: FinalState,
    },
}

impl TicketChange {
    pub fn issue(ticket: &Ticket, sealed: SealedBundle, limits: Option<Arc<CallerLimits>>) -> Self {
        let identity = ticket.caller.identity();
        let owner = OwnerDigest::from_identity(&identity);
        let account = match identity {
            Identity::Pod { .. } => owner,
            Identity::Token { .. } => OwnerDigest::from_identity(&ticket.caller.quota_identity()),
        };
        Self::Issue {
            id: ticket.id,
            owner,
            account,
            issued_at: to_microseconds(ticket.issued_at),
            expires_at: to_microseconds(ticket.expires_at),
            sealed,
            limits,
        }
    }
}
