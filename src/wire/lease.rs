//! A lease as the API shows it.

use super::caller::CallerObject;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaseObject {
    /// Ours, the same as long as it lives, and never the store's.
    pub lease_id: String,
    /// The store.
    pub store: String,
    /// The path.
    pub path: String,
    /// `static` for what the store keeps and the cache has, `dynamic` for what the store made.
    pub kind: String,
    /// When it was read or made (RFC 3339, UTC).
    pub acquired_at: String,
    /// When it ends; a static one is read again then.
    pub expires_at: String,
    /// Whether the store would prolong it.
    pub renewable: bool,
    /// Whether its time is over, so that it is served while the store cannot be reached and not otherwise.
    pub stale: bool,
    /// Whom it is for; null where it is for everybody who is granted it.
    #[schema(required)]
    pub held_by: Option<CallerObject>,
    /// `active`, `revoking`, or `revocation_failed` where it could not be taken back six times in a row.
    pub state: String,
}

/// A page of leases, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LeaseList {
    /// The leases.
    pub items: Vec<LeaseObject>,
    /// Where the next page begins, where there is one.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
