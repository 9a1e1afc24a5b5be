//! `stores[].azureKeyVault`: a vault of Azure Key Vault, and Claviger's identity there.
//!
//! The environment, home directories and the metadata service of the machine are not used. The scope of a login is configured, and
//! not taken from the authentication challenge of the vault.

use super::address;
use super::cache::{Cache, RawCache};
use super::fault_collector::{FaultCollector, MILLISECOND, MINUTE};
use super::value_format::{self, ValueFormat};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// One vault.
#[derive(Debug, Clone)]
pub struct AzureKeyVault {
    /// `https://NAME.vault.azure.net`, without a slash at the end.
    pub vault_url: String,
    /// The address of Microsoft Entra ID.
    pub authority_url: String,
    /// The scope of Claviger's access token.
    pub scope: String,
    /// PEM root certificates. `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// The proxy for the vault and for Microsoft Entra ID.
    pub proxy_url: Option<String>,
    /// Claviger's identity.
    pub auth: AzureAuth,
    /// How the text of a secret becomes keys and values.
    pub values: ValueFormat,
    /// What happens with a secret that has expired or is not yet active.
    pub expired: ExpiredSecrets,
    /// The timeout of one call.
    pub timeout: Duration,
    /// How long secrets are cached.
    pub cache: Cache,
}

/// How Claviger logs in.
#[derive(Debug, Clone)]
pub enum AzureAuth {
    /// With its ServiceAccount token, for which the application has a federated credential.
    WorkloadIdentity {
        /// The tenant.
        tenant_id: String,
        /// The application or managed identity.
        client_id: String,
        /// The projected token, read again at every login.
        token_file: PathBuf,
    },
    /// With a client secret of the application.
    ClientSecret {
        /// The tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// The client secret, read again at every login.
        client_secret_file: PathBuf,
    },
}

closed_enum! {
    /// What happens with a secret whose `exp` is in the past or whose `nbf` is in the future. Key Vault returns such secrets.
    pub enum ExpiredSecrets {
        /// It is treated as deleted.
        Refuse => "refuse",
        /// It is served.
        Serve => "serve",
    }
}

/// The name, the authority and the scope of each of Azure's clouds.
const CLOUDS: &[[&str; 3]] = &[
    ["public", "https://login.microsoftonline.com", "https://vault.azure.net/.default"],
    ["usGovernment", "https://login.microsoftonline.us", "https://vault.usgovcloudapi.net/.default"],
    ["china", "https://login.chinacloudapi.cn", "https://vault.azure.cn/.default"],
];

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAzureKeyVault {
    vault_url: Option<String>,
    cloud: Option<String>,
    authority_url: Option<String>,
    scope: Option<String>,
    ca_file: Option<String>,
    proxy_url: Option<String>,
    auth: Option<RawAuth>,
    values: Option<String>,
    expired: Option<String>,
    timeout: Option<String>,
    cache: Option<RawCache>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawAuth {
    workload_identity: Option<RawWorkloadIdentity>,
    client_secret: Option<RawClientSecret>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawWorkloadIdentity {
    tenant_id: Option<String>,
    client_id: Option<String>,
    token_file: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawClientSecret {
    tenant_id: Option<String>,
    client_id: Option<String>,
    client_secret_file: Option<String>,
}

impl RawAzureKeyVault {
    pub(super) fn validate(self, pointer: &str, faults: &mut FaultCollector) -> Option<AzureKeyVault> {
        if !cfg!(feature = "azure") {
            return faults
                .record_none(pointer, "is not in this build of claviger, which was made without its feature azure");
        }
        let vault_url =
            faults.require_parsed(&format!("{pointer}/vaultUrl"), self.vault_url, address::validate_https_server);
        let cloud = faults.require_one_of(&format!("{pointer}/cloud"), self.cloud, CLOUDS, |[name, ..]| name);
        let endpoints = match (self.authority_url, self.scope) {
            (None, None) => cloud.map(|[_, authority, scope]| (authority.to_owned(), scope.to_owned())),
            (Some(authority), Some(scope)) => {
                let authority =
                    faults.ok_or_record(&format!("{pointer}/authorityUrl"), address::validate_https_server(authority));
                let scope = faults.ok_or_record(&format!("{pointer}/scope"), validate_scope(scope));
                cloud.and(authority.zip(scope))
            }
            (authority, _) => {
                let missing = if authority.is_some() { "scope" } else { "authorityUrl" };
                faults
                    .record_none(format!("{pointer}/{missing}"), "must be set: authorityUrl and scope need each other")
            }
        };
        let ca_file = faults.optional_file(&format!("{pointer}/caFile"), self.ca_file);
        let proxy_url = address::validate_optional(&format!("{pointer}/proxyUrl"), self.proxy_url, faults);
        let auth = self.auth.unwrap_or_default().validate(&format!("{pointer}/auth"), faults);
        let values = value_format::validate(&format!("{pointer}/values"), self.values, faults);
        let choices = ExpiredSecrets::ALL;
        let expired =
            faults.require_one_of(&format!("{pointer}/expired"), self.expired, choices, ExpiredSecrets::as_str);
        let timeout = faults.require_duration(&format!("{pointer}/timeout"), self.timeout, MILLISECOND..=MINUTE);
        let cache = self.cache.unwrap_or_default().validate(&format!("{pointer}/cache"), faults);
        let (authority_url, scope) = endpoints?;
        Some(AzureKeyVault {
            vault_url: vault_url?,
            authority_url,
            scope,
            ca_file,
            proxy_url,
            auth: auth?,
            values: values?,
            expired: expired?,
            timeout: timeout?,
            cache: cache?,
        })
    }
}

impl RawAuth {
    fn validate(self, pointer: &str, faults: &mut FaultCollector) -> Option<AzureAuth> {
        match (self.workload_identity, self.client_secret) {
            (Some(raw), None) => {
                let pointer = format!("{pointer}/workloadIdentity");
                let (tenant_id, client_id) = validate_application(&pointer, raw.tenant_id, raw.client_id, faults);
                let token_file = faults.require_file(&format!("{pointer}/tokenFile"), raw.token_file);
                Some(AzureAuth::WorkloadIdentity {
                    tenant_id: tenant_id?,
                    client_id: client_id?,
                    token_file: token_file?,
                })
            }
            (None, Some(raw)) => {
                let pointer = format!("{pointer}/clientSecret");
                let (tenant_id, client_id) = validate_application(&pointer, raw.tenant_id, raw.client_id, faults);
                let client_secret_file =
                    faults.require_file(&format!("{pointer}/clientSecretFile"), raw.client_secret_file);
                Some(AzureAuth::ClientSecret {
                    tenant_id: tenant_id?,
                    client_id: client_id?,
                    client_secret_file: client_secret_file?,
                })
            }
            _ => faults.record_none(pointer, "must have exactly one of workloadIdentity, clientSecret"),
        }
    }
}

fn validate_application(
    pointer: &str,
    tenant_id: Option<String>,
    client_id: Option<String>,
    faults: &mut FaultCollector,
) -> (Option<String>, Option<String>) {
    (
        validate_id(&format!("{pointer}/tenantId"), tenant_id, faults),
        validate_id(&format!("{pointer}/clientId"), client_id, faults),
    )
}

/// Validates the id of a tenant or an application. Its characters are restricted, because a tenant becomes part of a URL.
fn validate_id(pointer: &str, value: Option<String>, faults: &mut FaultCollector) -> Option<String> {
    let id = faults.require_text(pointer, value)?;
    let is_valid = id.len() <= 253 && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    faults.valid_or_record(pointer, id, is_valid, "must be an id of letters, digits and . -, as az shows it")
}

/// Validates a scope such as `https://vault.azure.net/.default`. Its characters are restricted, because it becomes part of a request.
fn validate_scope(scope: String) -> Result<String, &'static str> {
    let is_valid = scope.starts_with("https://")
        && scope.ends_with("/.default")
        && scope.len() <= 253
        && scope.bytes().all(|b| b.is_ascii_alphanumeric() || b"./:-_".contains(&b));
    if is_valid { Ok(scope) } else { Err("must be a scope such as https://vault.azure.net/.default") }
}
