//! The inventory in responses of the API: which policies and secrets are used.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of the inventory: first the items that were never used, then the others by time of last use, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Inventory {
    /// The items.
    pub items: Vec<InventoryItem>,
    /// Beginning of the period that `callers`, `repos` and `unused` refer to (RFC 3339, UTC).
    pub since: String,
    /// False if events that happened before this request are not counted yet, so uses may be missing.
    pub complete: bool,
    /// Continuation token of the next page; absent on the last page.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub continue_token: Option<String>,
}

/// A secret of a policy, or a policy without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryItem {
    /// Name of the policy.
    pub policy: String,
    /// Name of the store; null for a deny policy.
    #[schema(required)]
    pub store: Option<String>,
    /// Path template; null for a deny policy.
    #[schema(required)]
    pub path: Option<String>,
    /// Last request that the policy matched (RFC 3339, UTC); null if there was none.
    #[schema(required)]
    pub last_matched: Option<String>,
    /// Last request for which the secret was read (RFC 3339, UTC); null if there was none.
    #[schema(required)]
    pub last_read: Option<String>,
    /// Number of callers (issuer and subject) for which it was read since `since`; at most 1000. For a deny policy, those it matched.
    pub callers: u64,
    /// Repos for which it was read since `since`, by time of the last read, newest first; at most 50.
    pub repos: Vec<String>,
    /// Number of repos for which it was read since `since`, including those not in `repos`; at most 1000.
    pub repos_total: u64,
    /// True if it was not read since `since`. For a deny policy, if it did not match.
    pub unused: bool,
    /// `enforce` or `audit`.
    pub mode: String,
}
