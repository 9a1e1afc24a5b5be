//! A policy in responses of the API, and its revisions.

use super::page::page;
use super::policy::PolicySpec;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A policy.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyObject {
    /// Name of the policy. For a namespaced custom resource it is `namespace/name`.
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

page! {
    /// A page of policies, sorted by name.
    PolicyList {
        /// The policies.
        items: PolicyObject
    }
}

/// One change of a policy.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRevisionObject {
    /// Revision of the change.
    pub revision: String,
    /// Time of the change (RFC 3339, UTC).
    #[serde(rename = "at")]
    pub changed_at: String,
    /// Subject of the author.
    #[serde(rename = "by")]
    pub changed_by: String,
    /// `created`, `updated` or `deleted`.
    #[serde(rename = "change")]
    pub action: String,
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

page! {
    /// A page of changes, newest first.
    PolicyRevisionList {
        /// The changes.
        items: PolicyRevisionObject
    }
}
