//! The JSON bodies of the Vault-compatible API, with Vault's member names and types.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// The body of a login. Other fields are ignored.
#[derive(Deserialize, ToSchema)]
pub struct VaultLogin {
    /// The caller's token: the ServiceAccount token of a pod, or the OIDC token of a CI job.
    #[schema(value_type = String)]
    pub jwt: Option<String>,
    /// Any name. It has no effect, and is returned in `metadata`.
    #[schema(nullable = false)]
    pub role: Option<String>,
}

/// The envelope of Vault's responses.
#[derive(Serialize, ToSchema)]
pub struct VaultAnswer<'a, T> {
    /// The `X-Request-Id` of this response.
    pub request_id: String,
    /// Always empty.
    pub lease_id: &'static str,
    /// Always false.
    pub renewable: bool,
    /// Always 0.
    pub lease_duration: u64,
    /// The data; null after a login.
    #[schema(required)]
    pub data: Option<T>,
    /// Always null.
    #[schema(required, value_type = Option<Object>)]
    pub wrap_info: (),
    /// Always null.
    #[schema(required, value_type = Option<Vec<String>>)]
    pub warnings: (),
    /// The login; null in other responses.
    #[schema(required)]
    pub auth: Option<VaultAuth<'a>>,
}

impl<'a, T> VaultAnswer<'a, T> {
    /// A response with data.
    pub fn with_data(request_id: String, data: T) -> Self {
        Self { data: Some(data), ..Self::empty(request_id) }
    }

    /// A response to a login.
    #[must_use]
    pub fn with_auth(request_id: String, auth: VaultAuth<'a>) -> Self {
        Self { auth: Some(auth), ..Self::empty(request_id) }
    }

    const fn empty(request_id: String) -> Self {
        let (lease_id, wrap_info, warnings) = ("", (), ());
        Self { request_id, lease_id, renewable: false, lease_duration: 0, data: None, wrap_info, warnings, auth: None }
    }
}

/// The data of a login, which has none.
#[derive(Serialize, ToSchema)]
pub struct VaultNoData {}

/// The response to a login.
pub type VaultLoggedIn = VaultAnswer<'static, VaultNoData>;
/// The response to a read.
pub type VaultRead = VaultAnswer<'static, VaultSecret<'static>>;
/// The response to the look-up of a mount.
pub type VaultMounted = VaultAnswer<'static, VaultMount>;
/// The response to the look-up of a token.
pub type VaultLookup = VaultAnswer<'static, VaultToken<'static>>;

/// The result of a login.
#[derive(Serialize, ToSchema)]
pub struct VaultAuth<'a> {
    /// The token that was sent.
    pub client_token: &'a str,
    /// Always empty.
    pub accessor: &'static str,
    /// Always `default`.
    pub policies: [&'static str; 1],
    /// Always `default`.
    pub token_policies: [&'static str; 1],
    /// The role that was sent.
    pub metadata: VaultRole,
    /// Seconds until the token expires, at most `vaultApi.maxTokenTtl`.
    pub lease_duration: u64,
    /// Always false.
    pub renewable: bool,
    /// Always empty.
    pub entity_id: &'static str,
    /// Always `batch`.
    pub token_type: &'static str,
    /// Always true.
    pub orphan: bool,
    /// Always null.
    #[schema(required, value_type = Option<Object>)]
    pub mfa_requirement: (),
    /// Always 0.
    pub num_uses: u64,
}

/// The role that was sent at a login.
#[derive(Serialize, ToSchema)]
pub struct VaultRole {
    /// The role; empty if none was sent.
    pub role: String,
}

/// A bundle as a secret of KV version 2.
#[derive(Serialize, ToSchema)]
pub struct VaultSecret<'a> {
    /// The values by key; always strings.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub data: &'a RawValue,
    /// Metadata of the bundle.
    pub metadata: VaultMetadata,
}

/// Metadata of a bundle.
#[derive(Serialize, ToSchema)]
pub struct VaultMetadata {
    /// When the newest of its secrets was created, if a store states that; otherwise, when the bundle was read.
    pub created_time: String,
    /// Always null.
    #[schema(required, value_type = Option<Object>)]
    pub custom_metadata: (),
    /// Always empty.
    pub deletion_time: &'static str,
    /// Always false.
    pub destroyed: bool,
    /// A number that changes with the version of any secret in the bundle. It is not a counter.
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    pub version: u32,
}

/// A mount, which clients look up before a read.
#[derive(Serialize, ToSchema)]
pub struct VaultMount {
    /// Accessor of the mount.
    pub accessor: String,
    /// Configuration of the mount.
    pub config: VaultMountConfig,
    /// Always `supported`.
    pub deprecation_status: &'static str,
    /// Description of the mount.
    pub description: &'static str,
    /// Always false.
    pub external_entropy_access: bool,
    /// Always false.
    pub local: bool,
    /// `{"version": "2"}`; the number is a string, as in Vault.
    pub options: VaultMountOptions,
    /// `vaultApi.mount` with a slash at the end.
    pub path: String,
    /// Always empty.
    pub plugin_version: &'static str,
    /// Claviger's version.
    pub running_plugin_version: &'static str,
    /// Always empty.
    pub running_sha256: &'static str,
    /// Always false.
    pub seal_wrap: bool,
    /// Always `kv`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The same for every installation.
    pub uuid: &'static str,
}

/// Configuration of a mount.
#[derive(Serialize, ToSchema)]
pub struct VaultMountConfig {
    /// Always 0.
    pub default_lease_ttl: u64,
    /// Always false.
    pub force_no_cache: bool,
    /// Always 0.
    pub max_lease_ttl: u64,
}

/// Options of a mount.
#[derive(Serialize, ToSchema)]
pub struct VaultMountOptions {
    /// Always `2`.
    pub version: &'static str,
}

/// The result of a token look-up.
#[derive(Serialize, ToSchema)]
pub struct VaultToken<'a> {
    /// Always empty.
    pub accessor: &'static str,
    /// When the token was issued (Unix time in seconds).
    pub creation_time: i64,
    /// Seconds from issue to expiry.
    pub creation_ttl: i64,
    /// Authenticator and subject.
    pub display_name: String,
    /// Always empty.
    pub entity_id: &'static str,
    /// When the token expires.
    pub expire_time: String,
    /// Always 0.
    pub explicit_max_ttl: u64,
    /// The token that was sent.
    pub id: &'a str,
    /// When the token was issued.
    pub issue_time: String,
    /// Always null.
    #[schema(required, value_type = Option<Object>)]
    pub meta: (),
    /// Always 0.
    pub num_uses: u64,
    /// Always true.
    pub orphan: bool,
    /// `auth/`, the authenticator and `/login`.
    pub path: String,
    /// Always `default`.
    pub policies: [&'static str; 1],
    /// Always false.
    pub renewable: bool,
    /// Seconds until it expires.
    pub ttl: u64,
    /// Always `batch`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// The health of the server.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "members of Vault's response")]
pub struct VaultHealth {
    /// Always true.
    pub initialized: bool,
    /// Always false.
    pub sealed: bool,
    /// Always false.
    pub standby: bool,
    /// Always false.
    pub performance_standby: bool,
    /// Always `disabled`.
    pub replication_performance_mode: &'static str,
    /// Always `disabled`.
    pub replication_dr_mode: &'static str,
    /// Current time (Unix time in seconds).
    pub server_time_utc: i64,
    /// Claviger's version.
    pub version: &'static str,
    /// Always `claviger`.
    pub cluster_name: &'static str,
    /// The same for every installation.
    pub cluster_id: &'static str,
}

/// The seal status, which is always unsealed.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "members of Vault's response")]
pub struct VaultSealStatus {
    /// Always `shamir`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Always true.
    pub initialized: bool,
    /// Always false.
    pub sealed: bool,
    /// Always 1.
    pub t: u64,
    /// Always 1.
    pub n: u64,
    /// Always 0.
    pub progress: u64,
    /// Always empty.
    pub nonce: &'static str,
    /// Always false.
    pub recovery_seal: bool,
    /// Claviger's version.
    pub version: &'static str,
    /// Always empty.
    pub build_date: &'static str,
    /// Always false.
    pub migration: bool,
    /// Always `claviger`.
    pub cluster_name: &'static str,
    /// The same for every installation.
    pub cluster_id: &'static str,
    /// Always `claviger`.
    pub storage_type: &'static str,
}

/// The body of an error.
#[derive(Serialize, ToSchema)]
pub struct VaultErrors {
    /// One message; empty with `404`.
    pub errors: Vec<String>,
}
