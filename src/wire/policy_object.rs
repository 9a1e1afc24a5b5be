//! A policy as the API shows it, with its metadata.

use super::policy::PolicySpec;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A policy.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyObject {
    /// Name of the policy; `namespace/name` of a custom resource of a namespace.
    pub name: String,
    /// Revision; changes with every write, and is the `ETag`.
    pub revision: String,
    /// Time of creation (RFC 3339, UTC).
    pub created_at: String,
    /// Time of the last write (RFC 3339, UTC).
    pub updated_at: String,
    /// Subject of the last author; for a file, the name of the file; for a custom resource, the field manager.
    pub updated_by: String,
    /// `api`, `file` or `kubernetes`; the last two are read-only in the API.
    pub source: String,
    /// The specification.
    pub spec: PolicySpec,
}

/// A page of policies, by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PolicyList {
    /// The policies.
    pub items: Vec<PolicyObject>,
    /// Continuation token of the next page; absent on the last page.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One change of a policy.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRevisionObject {
    /// Revision of the change.
    pub revision: String,
    /// Time of the change (RFC 3339, UTC).
    pub at: String,
    /// Subject of the author.
    pub by: String,
    /// `created`, `updated` or `deleted`.
    pub change: String,
    /// Changes of the spec.
    pub diff: Vec<SpecEdit>,
}

/// One changed place of a spec.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SpecEdit {
    /// JSON pointer (RFC 6901) into the spec; empty for the whole spec.
    pub pointer: String,
    /// Old value; absent if added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// New value; absent if removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// A page of changes, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PolicyRevisionList {
    /// The changes.
    pub items: Vec<PolicyRevisionObject>,
    /// Continuation token of the next page; absent on the last page.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
