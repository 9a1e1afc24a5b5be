//! A policy as its author writes it: a REST body or a YAML manifest.
//!
//! All fields are optional here, so that `src/policy` can report missing fields together with all other faults.

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use utoipa::ToSchema;

/// A YAML manifest.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PolicyManifest {
    /// `claviger.dev/v1alpha1`.
    #[schema(required, nullable = false, pattern = "^claviger\\.dev/v1alpha1$")]
    pub api_version: Option<String>,
    /// `Policy`, or `ClusterPolicy` with the same meaning here.
    #[schema(required, nullable = false, pattern = "^(Cluster)?Policy$")]
    pub kind: Option<String>,
    /// Name and annotations.
    #[schema(value_type = Metadata, required, nullable = false)]
    pub metadata: Option<Metadata>,
    /// The specification.
    #[schema(value_type = PolicySpec, required)]
    pub spec: Option<PolicySpec>,
}

/// A REST body.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyBody {
    /// Name; optional if the path has it.
    pub name: Option<String>,
    /// The specification.
    #[schema(value_type = PolicySpec, required)]
    pub spec: Option<PolicySpec>,
}

/// Declares [`Metadata`] with additional fields, which Kubernetes and its tools write (`ObjectMeta`). They are accepted and
/// ignored.
macro_rules! metadata {
    ($($ignored:ident)+) => {
        /// A manifest's metadata.
        #[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
        #[serde(default, deny_unknown_fields, rename_all = "camelCase")]
        pub struct Metadata {
            /// An RFC 1123 subdomain of at most 253 characters.
            pub name: Option<String>,
            /// The namespace of a custom resource. It has no meaning in files and bodies.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub namespace: Option<Value>,
            $(
                #[serde(skip_serializing)]
                #[schema(value_type = Option<Value>)]
                $ignored: Option<IgnoredAny>,
            )+
        }
    };
}

metadata! {
    labels annotations generate_name uid resource_version generation creation_timestamp deletion_timestamp
    deletion_grace_period_seconds finalizers owner_references managed_fields self_link
}

impl Metadata {
    /// Metadata with only a name.
    #[must_use]
    pub fn with_name(name: Option<String>) -> Self {
        Self { name, ..Self::default() }
    }
}

/// The specification.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PolicySpec {
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `allow` (default) or `deny`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(allow|deny)$")]
    pub effect: Option<String>,
    /// `enforce` (default), or `audit`: the policy is evaluated and recorded, and changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(enforce|audit)$")]
    pub mode: Option<String>,
    /// Callers; at least one must match.
    #[schema(required, value_type = Vec<Subject>, min_items = 1)]
    pub subjects: Vec<Option<Subject>>,
    /// Patterns; at least one must match.
    #[schema(required, value_type = Vec<String>, min_items = 1)]
    pub repos: Vec<Option<String>>,
    /// Patterns; at least one must match.
    #[schema(required, value_type = Vec<String>, min_items = 1)]
    pub branches: Vec<Option<String>>,
    /// CEL expressions for the attested repo and branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attest: Option<Attest>,
    /// CEL expression that must evaluate to true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Secrets that the policy grants.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Secret>)]
    pub secrets: Vec<Option<Secret>>,
    /// Lifetime, binding and number of tickets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    /// `ticket`, `direct` or both.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub delivery: Option<Vec<Option<String>>>,
}

/// A kind of caller; exactly one of the fields is set.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Subject {
    /// Pods by namespace and `ServiceAccount`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesSubject>,
    /// Bearers of OIDC tokens by claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcSubject>,
}

/// Pods by namespace and `ServiceAccount`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct KubernetesSubject {
    /// Patterns; at least one must match. A custom resource `Policy` must leave them out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required, value_type = Vec<String>, min_items = 1)]
    pub namespaces: Vec<Option<String>>,
    /// Patterns; at least one must match.
    #[schema(required, value_type = Vec<String>, min_items = 1)]
    pub service_accounts: Vec<Option<String>>,
    /// Whether the caller's token is bound to a pod: `pod` (default of an allow policy), `none`, or `any` (default of a deny policy).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(pod|none|any)$")]
    pub bound: Option<String>,
}

/// Bearers of OIDC tokens.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct OidcSubject {
    /// Configured name of the authenticator.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, nullable = false)]
    pub issuer: Option<String>,
    /// Claim names and values; all must match.
    #[schema(required, value_type = BTreeMap<String, ClaimValue>)]
    pub claims: BTreeMap<String, Option<ClaimValue>>,
}

/// Required value of a claim.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ClaimValue {
    /// A pattern.
    Pattern(String),
    /// A literal value.
    Literal(LiteralValue),
}

/// A literal claim value, for names such as `dependabot[bot]`: in a pattern, `[bot]` is a character class.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LiteralValue {
    /// The value.
    #[schema(required, nullable = false)]
    pub is: Option<String>,
}

/// Not derived, because the error of an untagged enum has neither the place nor what was expected.
impl<'de> Deserialize<'de> for ClaimValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ClaimValueVisitor;

        impl<'de> Visitor<'de> for ClaimValueVisitor {
            type Value = ClaimValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or a map with the key is")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ClaimValue, E> {
                Ok(ClaimValue::Pattern(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ClaimValue, A::Error> {
                LiteralValue::deserialize(MapAccessDeserializer::new(map)).map(ClaimValue::Literal)
            }
        }

        deserializer.deserialize_any(ClaimValueVisitor)
    }
}

/// Attestations.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Attest {
    /// CEL expression for the repo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// CEL expression for the branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// A granted secret.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Secret {
    /// Configured name of the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, nullable = false)]
    pub store: Option<String>,
    /// Path template, written as in the store's own command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, nullable = false)]
    pub path: Option<String>,
    /// If true, a missing secret is an error (default false).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// Key patterns (default: all keys).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub keys: Option<Vec<Option<String>>>,
    /// Key names to replace, and their new names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub rename: BTreeMap<String, Option<String>>,
    /// Prefix for all key names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Scope of dynamic credentials: `perPod` (default) or `shared`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(perPod|shared)$")]
    pub lease: Option<String>,
    /// Body of the write request whose response is the secret, for engines such as `pki`. Strings may contain placeholders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<BTreeMap<String, Value>>,
    /// Encoding of the stored values: `base64` values are decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^base64$")]
    pub encoding: Option<String>,
}

/// Lifetime, binding and number of tickets.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Ticket {
    /// Lifetime, for example `2m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// Binding: `none`, `ip` or `identity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(none|ip|identity)$")]
    pub bind_to: Option<String>,
    /// Maximum number of tickets that one pod may get from this policy; for an OIDC token one `jti`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub max_per_caller: Option<u64>,
}

/// A policy in either form.
// Only for the OpenAPI document; the server parses the text.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub enum PolicyDocument {
    /// `{"name", "spec"}`.
    Body(PolicyBody),
    /// A Kubernetes manifest.
    Manifest(PolicyManifest),
}
