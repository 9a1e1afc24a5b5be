//! A change of a ticket: its issue or its end. Both ticket stores (memory and database) hand it to the audit log as the
//! payload of a [`crate::database::Step`], so that the change and its event become durable together.

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
        /// Whose sealed bytes the store in memory limits. For a pod, the same as `owner`. For a token, the digest of issuer
        /// and subject only; `owner` also covers the token's ID (`jti`).
        quota_owner: OwnerDigest,
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
        let quota_owner = match identity {
            Identity::Pod { .. } => owner,
            Identity::Token { .. } => OwnerDigest::from_identity(&ticket.caller.quota_identity()),
        };
        Self::Issue {
            id: ticket.id,
            owner,
            quota_owner,
            issued_at: to_microseconds(ticket.issued_at),
            expires_at: to_microseconds(ticket.expires_at),
            sealed,
            limits,
        }
    }
}
