//! A policy as the API shows it, with what is known of it.

use super::policy::PolicySpec;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A policy.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyObject {
    /// Its name.
    pub name: String,
    /// Changes with every write; also the `ETag`.
    pub revision: String,
    /// When it was first written (RFC 3339, UTC).
    pub created_at: String,
    /// When it was last written.
    pub updated_at: String,
    /// Who wrote it last; of a file, the file's name.
    pub updated_by: String,
    /// `api`, or `file` for one that cannot be changed here.
    pub source: String,
    /// What it says.
    pub spec: PolicySpec,
}

/// A page of policies, by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PolicyList {
    /// The policies.
    pub items: Vec<PolicyObject>,
    /// Where the next page begins, where there is one.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One change of a policy.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRevisionObject {
    /// Its revision.
    pub revision: String,
    /// When it was changed (RFC 3339, UTC).
    pub at: String,
    /// Who changed it.
    pub by: String,
    /// `created`, `updated` or `deleted`.
    pub change: String,
    /// What changed in the spec.
    pub diff: Vec<SpecEdit>,
}

/// One place of a spec that changed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SpecEdit {
    /// Where, as a JSON pointer into the spec; empty for the whole of it.
    pub pointer: String,
    /// What was there; absent where there was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is there now; absent where there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// A page of changes, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PolicyRevisionList {
    /// The changes.
    pub items: Vec<PolicyRevisionObject>,
    /// Where the next page begins, where there is one.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
