//! The request and response of `POST /v1/decisions`, which explains a decision.

use super::null::refuse_null;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The body of `POST /v1/decisions`.
// No `Debug`, because it may contain a token.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DecisionRequest {
    /// A described caller; exactly one of `caller` and `token`.
    #[serde(deserialize_with = "refuse_null")]
    #[schema(nullable = false)]
    pub caller: Option<DescribedCaller>,
    /// The bearer token of a caller; exactly one of `caller` and `token`.
    #[serde(deserialize_with = "refuse_null")]
    #[schema(nullable = false)]
    pub token: Option<String>,
    /// The repository.
    #[serde(deserialize_with = "refuse_null")]
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 256,
        pattern = "^[A-Za-z0-9._~@+-]+([ /][A-Za-z0-9._~@+-]+)*$"
    )]
    pub repo: Option<String>,
    /// The branch.
    #[serde(deserialize_with = "refuse_null")]
    #[schema(nullable = false, min_length = 1, max_length = 1024)]
    pub branch: Option<String>,
}

/// A caller described by the administrator; not authenticated.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct DescribedCaller {
    /// Configured name of the authenticator.
    #[serde(deserialize_with = "refuse_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub issuer: Option<String>,
    /// Subject; for a `ServiceAccount` the default follows from namespace and ServiceAccount.
    #[serde(deserialize_with = "refuse_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub subject: Option<String>,
    /// Namespace of the pod or `ServiceAccount`.
    #[serde(deserialize_with = "refuse_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub namespace: Option<String>,
    /// `ServiceAccount` of the pod or token.
    #[serde(deserialize_with = "refuse_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub service_account: Option<String>,
    /// `pod` (default), or `none` for a token that is bound to no pod.
    #[serde(deserialize_with = "refuse_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^(pod|none)$")]
    pub bound: Option<String>,
    /// Groups of the user.
    pub groups: Vec<String>,
    /// The pod.
    #[serde(deserialize_with = "refuse_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pod: Option<DescribedPod>,
    /// The `TaskRun` of the pod.
    #[serde(deserialize_with = "refuse_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub task_run: Option<DescribedTaskRun>,
    /// The `PipelineRun` of the pod.
    #[serde(deserialize_with = "refuse_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pipeline_run: Option<DescribedPipelineRun>,
    /// The claims of an OIDC token.
    pub claims: Map<String, Value>,
}

/// A described pod.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DescribedPod {
    /// Name of the pod.
    pub name: String,
    /// Uid of the pod.
    pub uid: String,
    /// IP address of the pod.
    #[serde(deserialize_with = "refuse_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ip: Option<String>,
    /// All IP addresses (default: `ip`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<String>,
    /// Node of the pod.
    #[serde(deserialize_with = "refuse_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub node: Option<String>,
    /// Labels of the pod.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pod.
    pub annotations: BTreeMap<String, String>,
}

/// A described Tekton `TaskRun`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DescribedTaskRun {
    /// Name of the `TaskRun`.
    pub name: String,
    /// Labels of the `TaskRun`.
    pub labels: BTreeMap<String, String>,
    /// Parameters of the `TaskRun`.
    pub params: BTreeMap<String, Value>,
}

/// A described Tekton `PipelineRun`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DescribedPipelineRun {
    /// Name of the `PipelineRun`.
    pub name: String,
    /// Labels of the `PipelineRun`.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the `PipelineRun`.
    pub annotations: BTreeMap<String, String>,
    /// Parameters of the `PipelineRun`.
    pub params: BTreeMap<String, Value>,
}

/// The response to `POST /v1/decisions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionExplained {
    /// True if a ticket would be issued.
    pub allowed: bool,
    /// Reason as in the audit event; `granted` if allowed.
    pub reason: String,
    /// All policies, by name.
    pub policies: Vec<PolicyExplained>,
    /// Secrets that would be read.
    pub secrets: Vec<SecretExplained>,
}

/// Result of one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyExplained {
    /// Name of the policy.
    pub name: String,
    /// True if the policy matches.
    pub matched: bool,
    /// First part that does not match: `subjects`, `repos`, `branches`, `attestation` or `condition`; null if the policy matches.
    pub failed_at: Option<String>,
    /// Explanation of `failedAt`.
    pub detail: Option<String>,
    /// `audit` for a policy in shadow mode, which changes nothing; absent for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub mode: Option<String>,
    /// For a policy in shadow mode: true if the decision would be another one with `mode: enforce`; absent if it was not evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub would_change: Option<bool>,
}

/// A secret that would be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretExplained {
    /// The store.
    pub store: String,
    /// Path with all placeholders filled in.
    pub path: String,
    /// Name of the secret in a cloud store; absent for stores with paths, and if the path has no valid name in the store.
    #[serde(default, rename = "storeName", skip_serializing_if = "Option::is_none")]
    pub store_name: Option<String>,
    /// Key patterns; `**` selects all keys.
    pub keys: Vec<String>,
    /// For a secret that is created by a write, such as a certificate: the request body with all placeholders filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<Map<String, Value>>,
    /// Encoding of the stored values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
}
