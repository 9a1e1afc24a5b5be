//! A lease in responses of the API.

use super::caller::CallerObject;
use super::page::page;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A dynamic lease, or a cached static secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaseObject {
    /// Claviger's id of the lease, stable for its lifetime; not the lease id of the store.
    pub lease_id: String,
    /// Name of the store.
    pub store: String,
    /// Path in the store.
    pub path: String,
    /// `static`: a cached secret; `dynamic`: credentials that the store created on request.
    pub kind: String,
    /// Time of the read or creation (RFC 3339, UTC).
    pub acquired_at: String,
    /// Time of expiry (RFC 3339, UTC), when a static secret is read again.
    pub expires_at: String,
    /// True if the store can renew it.
    pub renewable: bool,
    /// True if it has expired and is served only because the store is unavailable.
    pub stale: bool,
    /// Caller that holds it; null if it is shared.
    #[schema(required)]
    pub held_by: Option<CallerObject>,
    /// `active`, `revoking`, or `revocation_failed` after six failed attempts in a row.
    pub state: String,
}

page! {
    /// A page of leases, newest first.
    LeaseList {
        /// The leases.
        items: LeaseObject
    }
}
