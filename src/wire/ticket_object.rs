//! An outstanding ticket in responses of the API.

use super::caller::CallerObject;
use super::page::page;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An outstanding ticket: not redeemed, expired or revoked.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TicketObject {
    /// Public id; it cannot be used to redeem the ticket.
    pub ticket_id: String,
    /// Caller that requested it.
    pub caller: CallerObject,
    /// Repository.
    pub repo: String,
    /// Branch.
    pub branch: String,
    /// Names of the policies that allowed it.
    pub policies: Vec<String>,
    /// Names of the keys in its bundle.
    pub keys: Vec<String>,
    /// Time of issue (RFC 3339, UTC).
    pub issued_at: String,
    /// Time of expiry (RFC 3339, UTC).
    pub expires_at: String,
}

/// Result of revoking tickets.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TicketsRevoked {
    /// Number of tickets revoked.
    pub revoked: usize,
}

page! {
    /// A page of outstanding tickets, newest first.
    TicketList {
        /// The tickets.
        items: TicketObject
    }
}
