//! Asking why: what the policies say to a caller, and which part of which policy says it.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The body of `POST /v1/decisions`. It may carry a token: no `Debug`.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DecisionRequest {
    /// A described caller; this or `token`.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    pub caller: Option<DescribedCaller>,
    /// A caller's own token; this or `caller`.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    pub token: Option<String>,
    /// The repo that would be built.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 256, pattern = "^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")]
    pub repo: Option<String>,
    /// The branch that would be built.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 1024)]
    pub branch: Option<String>,
}

/// A caller as somebody describes it: nobody vouches for a word of it.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct DescribedCaller {
    /// The configured name of the authenticator.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub issuer: Option<String>,
    /// The subject; of a pod it follows from namespace and ServiceAccount.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub subject: Option<String>,
    /// The pod's namespace.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub namespace: Option<String>,
    /// The pod's ServiceAccount.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub service_account: Option<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// The pod.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pod: Option<DescribedPod>,
    /// What the pod works for.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pipeline_run: Option<DescribedPipelineRun>,
    /// The claims of an OIDC token.
    pub claims: Map<String, Value>,
}

/// A pod as somebody describes it.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DescribedPod {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its address.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ip: Option<String>,
    /// Its node.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub node: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// A Tekton `PipelineRun` as somebody describes it.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DescribedPipelineRun {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its params.
    pub params: BTreeMap<String, Value>,
}

/// `null` is not the same as left out.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionExplained {
    /// Whether a ticket would be issued.
    pub allowed: bool,
    /// Why, in the word that the audit event would have; `granted` where it is.
    pub reason: String,
    /// Every policy, by name.
    pub policies: Vec<PolicyExplained>,
    /// What would be read.
    pub secrets: Vec<SecretExplained>,
}

/// What one policy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyExplained {
    /// Its name.
    pub name: String,
    /// Whether it matches.
    pub matched: bool,
    /// The first part that does not: `subjects`, `repos`, `branches`, `attestation` or `condition`; null where it matches.
    pub failed_at: Option<String>,
    /// The same as a sentence.
    pub detail: Option<String>,
}

/// A secret that would be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretExplained {
    /// The store.
    pub store: String,
    /// The path, filled in.
    pub path: String,
    /// Patterns of the keys taken; `**` for all of them.
    pub keys: Vec<String>,
}
