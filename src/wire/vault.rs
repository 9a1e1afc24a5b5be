//! The bodies of the Vault-compatible API, in Vault's own spelling: `snake_case`, seconds as numbers.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// What a client sends to log in. Other fields are ignored.
#[derive(Deserialize, ToSchema)]
pub struct VaultLogin {
    /// The caller's own token: that of the pod, or of a CI job.
    #[schema(value_type = String)]
    pub jwt: Option<String>,
    /// Any name. It decides nothing and is repeated in `metadata`.
    #[schema(nullable = false)]
    pub role: Option<String>,
}

/// The envelope of Vault's answers.
#[derive(Serialize, ToSchema)]
pub struct VaultAnswer<'a, T> {
    /// The `X-Request-Id` of this answer.
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
    /// The login; else null.
    #[schema(required)]
    pub auth: Option<VaultAuth<'a>>,
}

impl<'a, T> VaultAnswer<'a, T> {
    /// An answer with data.
    pub fn with_data(request_id: String, data: T) -> Self {
        Self { data: Some(data), ..Self::empty(request_id) }
    }

    /// An answer to a login.
    #[must_use]
    pub fn with_auth(request_id: String, auth: VaultAuth<'a>) -> Self {
        Self { auth: Some(auth), ..Self::empty(request_id) }
    }

    const fn empty(request_id: String) -> Self {
        let (lease_id, wrap_info, warnings) = ("", (), ());
        Self { request_id, lease_id, renewable: false, lease_duration: 0, data: None, wrap_info, warnings, auth: None }
    }
}

/// The data of a login: none.
#[derive(Serialize, ToSchema)]
pub struct VaultNoData {}

/// The answer to a login.
pub type VaultLoggedIn = VaultAnswer<'static, VaultNoData>;
/// The answer to a read.
pub type VaultRead = VaultAnswer<'static, VaultSecret<'static>>;
/// The answer to the look-up of a mount.
pub type VaultMounted = VaultAnswer<'static, VaultMount>;
/// The answer to the look-up of a token.
pub type VaultLookup = VaultAnswer<'static, VaultToken<'static>>;

/// A login.
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
    /// Seconds until the token ends, at most `vaultApi.maxTokenTtl`.
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
    /// Empty where none was sent.
    pub role: String,
}

/// A bundle as a secret of KV version 2.
#[derive(Serialize, ToSchema)]
pub struct VaultSecret<'a> {
    /// The values by their names, always strings.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub data: &'a RawValue,
    /// About the bundle.
    pub metadata: VaultMetadata,
}

/// About a bundle.
#[derive(Serialize, ToSchema)]
pub struct VaultMetadata {
    /// When the newest of its secrets was made, where the store says so; else when it was read.
    pub created_time: String,
    /// Always null.
    #[schema(required, value_type = Option<Object>)]
    pub custom_metadata: (),
    /// Always empty.
    pub deletion_time: &'static str,
    /// Always false.
    pub destroyed: bool,
    /// Changes whenever the version of any secret in the bundle does. It does not count.
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    pub version: u32,
}

/// A secret engine as clients look it up before they read.
#[derive(Serialize, ToSchema)]
pub struct VaultMount {
    /// Its accessor.
    pub accessor: String,
    /// Its configuration.
    pub config: VaultMountConfig,
    /// Always `supported`.
    pub deprecation_status: &'static str,
    /// What it is.
    pub description: &'static str,
    /// Always false.
    pub external_entropy_access: bool,
    /// Always false.
    pub local: bool,
    /// `{"version": "2"}`: a string, as Vault has it.
    pub options: VaultMountOptions,
    /// `vaultApi.mount` with a slash at its end.
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

/// The configuration of a secret engine.
#[derive(Serialize, ToSchema)]
pub struct VaultMountConfig {
    /// Always 0.
    pub default_lease_ttl: u64,
    /// Always false.
    pub force_no_cache: bool,
    /// Always 0.
    pub max_lease_ttl: u64,
}

/// The options of a secret engine.
#[derive(Serialize, ToSchema)]
pub struct VaultMountOptions {
    /// Always `2`.
    pub version: &'static str,
}

/// What is known of a token.
#[derive(Serialize, ToSchema)]
pub struct VaultToken<'a> {
    /// Always empty.
    pub accessor: &'static str,
    /// When the token was issued, in seconds since 1970.
    pub creation_time: i64,
    /// Seconds from its issue to its end.
    pub creation_ttl: i64,
    /// The authenticator and the subject.
    pub display_name: String,
    /// Always empty.
    pub entity_id: &'static str,
    /// When it ends.
    pub expire_time: String,
    /// Always 0.
    pub explicit_max_ttl: u64,
    /// The token that was sent.
    pub id: &'a str,
    /// When it was issued.
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
    /// Seconds until it ends.
    pub ttl: u64,
    /// Always `batch`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// Whether requests are served.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "Vault's answer has them")]
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
    /// The time, in seconds since 1970.
    pub server_time_utc: i64,
    /// Claviger's version.
    pub version: &'static str,
    /// Always `claviger`.
    pub cluster_name: &'static str,
    /// The same for every installation.
    pub cluster_id: &'static str,
}

/// A Vault that is unsealed.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "Vault's answer has them")]
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

/// An error, as Vault tells it.
#[derive(Serialize, ToSchema)]
pub struct VaultErrors {
    /// One text; with `404` none.
    pub errors: Vec<String>,
}
