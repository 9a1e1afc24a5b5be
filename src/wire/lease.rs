//! A lease as the API shows it.

use super::caller::CallerObject;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A dynamic lease, or a cached static secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaseObject {
    /// Claviger's id of the lease, stable for its life; not the store's lease id.
    pub lease_id: String,
    /// Name of the store.
    pub store: String,
    /// Path in the store.
    pub path: String,
    /// `static`: a cached secret; `dynamic`: credentials that the store created on request.
    pub kind: String,
    /// Time of the read or creation (RFC 3339, UTC).
    pub acquired_at: String,
    /// End of life (RFC 3339, UTC); a static secret is read again then.
    pub expires_at: String,
    /// True if the store can renew it.
    pub renewable: bool,
    /// True if its life is over and it is served only while the store is unavailable.
    pub stale: bool,
    /// Caller that holds it; null if it is shared.
    #[schema(required)]
    pub held_by: Option<CallerObject>,
    /// `active`, `revoking`, or `revocation_failed` after six failed attempts in a row.
    pub state: String,
}

/// A page of leases, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LeaseList {
    /// The leases.
    pub items: Vec<LeaseObject>,
    /// Continuation token of the next page; absent on the last page.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
