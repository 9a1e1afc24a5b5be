//! A policy as people write it: REST body, YAML manifest, and later a custom resource.
//!
//! Nothing is required here, so that what is missing is reported together with everything else that is wrong;
//! `policy` turns it into a `Policy` or says why not.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A YAML manifest.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PolicyManifest {
    /// `claviger.dev/v1alpha1`.
    #[schema(required, nullable = false, pattern = "^claviger\\.dev/v1alpha1$")]
    pub api_version: Option<String>,
    /// `Policy`.
    #[schema(required, nullable = false, pattern = "^Policy$")]
    pub kind: Option<String>,
    /// Its name.
    #[schema(value_type = Metadata, required, nullable = false)]
    pub metadata: Option<Metadata>,
    /// What it says.
    #[schema(value_type = PolicySpec, required)]
    pub spec: Option<PolicySpec>,
}

/// A REST body.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyBody {
    /// Its name; may be left out where the path has it.
    pub name: Option<String>,
    /// What it says.
    #[schema(value_type = PolicySpec, required)]
    pub spec: Option<PolicySpec>,
}

/// A manifest's metadata.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Metadata {
    /// An RFC 1123 subdomain of at most 253 characters.
    pub name: Option<String>,
}

/// What a policy says.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PolicySpec {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `allow` (default) or `deny`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(allow|deny)$")]
    pub effect: Option<String>,
    /// Callers, one of which must match.
    #[schema(required, value_type = Vec<Subject>, min_items = 1)]
    pub subjects: Vec<Option<Subject>>,
    /// Patterns, one of which must match.
    #[schema(required, value_type = Vec<String>, min_items = 1)]
    pub repos: Vec<Option<String>>,
    /// Patterns, one of which must match.
    #[schema(required, value_type = Vec<String>, min_items = 1)]
    pub branches: Vec<Option<String>>,
    /// CEL expressions that yield the attested repo and branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attest: Option<Attest>,
    /// A CEL expression that must be true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// What is granted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Secret>)]
    pub secrets: Vec<Option<Secret>>,
    /// Life and binding of the tickets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    /// `ticket`, `direct` or both.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub delivery: Option<Vec<Option<String>>>,
}

/// A kind of caller: exactly one of the two.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Subject {
    /// A pod by namespace and ServiceAccount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesSubject>,
    /// The bearer of an OIDC token by its claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcSubject>,
}

/// Pods.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct KubernetesSubject {
    /// Patterns, one of which must match.
    #[schema(required, value_type = Vec<String>, min_items = 1)]
    pub namespaces: Vec<Option<String>>,
    /// Patterns, one of which must match.
    #[schema(required, value_type = Vec<String>, min_items = 1)]
    pub service_accounts: Vec<Option<String>>,
}

/// Bearers of OIDC tokens.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct OidcSubject {
    /// The configured name of the authenticator.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, nullable = false)]
    pub issuer: Option<String>,
    /// Claims and the patterns they must match, all of them.
    #[schema(required, value_type = BTreeMap<String, String>)]
    pub claims: BTreeMap<String, Option<String>>,
}

/// Attestations.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Attest {
    /// CEL that yields the repo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// CEL that yields the branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// One secret that is granted.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Secret {
    /// The configured name of the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, nullable = false)]
    pub store: Option<String>,
    /// A path template.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, nullable = false)]
    pub path: Option<String>,
    /// Whether its absence is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// Patterns of the keys taken; all without.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub keys: Option<Vec<Option<String>>>,
    /// New names for keys.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub rename: BTreeMap<String, Option<String>>,
    /// Put before every name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// `perPod` or `shared`, for dynamic credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(perPod|shared)$")]
    pub lease: Option<String>,
}

/// Life and binding of tickets.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Ticket {
    /// A duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// `none`, `ip` or `identity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(none|ip|identity)$")]
    pub bind_to: Option<String>,
}
