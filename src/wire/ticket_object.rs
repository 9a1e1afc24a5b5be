//! An outstanding ticket as the API shows it.

use super::caller::CallerObject;
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
    /// The names of the policies that allowed it.
    pub policies: Vec<String>,
    /// The names of the keys in its bundle.
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

/// A page of outstanding tickets, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TicketList {
    /// The tickets.
    pub items: Vec<TicketObject>,
    /// Continuation token of the next page; absent on the last page.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
