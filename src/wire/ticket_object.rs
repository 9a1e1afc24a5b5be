//! A waiting ticket as administrators see it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A ticket that is neither redeemed nor expired nor revoked.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TicketObject {
    /// Its public id, which cannot be used to redeem it.
    pub ticket_id: String,
    /// Who asked for it.
    pub caller: TicketCaller,
    /// What is built.
    pub repo: String,
    /// What is built.
    pub branch: String,
    /// The names of the policies that allowed it.
    pub policies: Vec<String>,
    /// The names of the keys in its bundle.
    pub keys: Vec<String>,
    /// When it was issued (RFC 3339, UTC).
    pub issued_at: String,
    /// When it expires (RFC 3339, UTC).
    pub expires_at: String,
}

/// Who asked for a ticket, as an audit event has it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TicketCaller {
    /// The authenticator that vouched for it.
    pub issuer: String,
    /// `system:serviceaccount:NAMESPACE:NAME`, or the token's `sub`.
    pub subject: String,
    /// The pod's namespace; none of an OIDC caller.
    pub namespace: Option<String>,
    /// The pod's ServiceAccount; none of an OIDC caller.
    pub service_account: Option<String>,
    /// The pod; none of an OIDC caller.
    pub pod: Option<TicketPod>,
}

/// The pod that asked for a ticket.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TicketPod {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// A page of waiting tickets, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TicketList {
    /// The tickets.
    pub items: Vec<TicketObject>,
    /// Where the next page begins, where there is one.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
