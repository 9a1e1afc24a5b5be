//! `stores[].azureKeyVault`: one vault of Azure Key Vault, and the broker's identity there.
//!
//! Nothing is taken from the environment, from a home directory or from the machine's metadata service. The scope of a login
//! is configured; the vault's own challenge is not followed.

use super::address;
use super::cache::{Cache, RawCache};
use super::check::{Check, MILLISECOND, MINUTE};
use super::secret_values::{self, SecretValues};
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
    /// The scope of the broker's access token.
    pub scope: String,
    /// PEM roots; the platform's without.
    pub ca_file: Option<PathBuf>,
    /// The proxy that the vault and the authority are reached through.
    pub proxy_url: Option<String>,
    /// The broker's identity.
    pub auth: AzureAuth,
    /// The form of a secret's text.
    pub values: SecretValues,
    /// What is done with a secret outside its dates.
    pub expired: Expired,
    /// The budget of one call.
    pub timeout: Duration,
    /// How long answers are kept.
    pub cache: Cache,
}

/// How the broker logs in.
#[derive(Debug, Clone)]
pub enum AzureAuth {
    /// By its ServiceAccount token, which a federated credential of the application names.
    WorkloadIdentity {
        /// The tenant that logs in.
        tenant_id: String,
        /// The application or managed identity.
        client_id: String,
        /// The projected token, read again at every login.
        token_file: PathBuf,
    },
    /// By a secret of the application.
    ClientSecret {
        /// The tenant that logs in.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret, read again at every login.
        client_secret_file: PathBuf,
    },
}

/// What is done with a secret whose `exp` is past or whose `nbf` is ahead. Key Vault itself serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// It counts as deleted.
    Refuse,
    /// It is served.
    Serve,
}

/// Endpoints of Azure's clouds.
#[derive(Debug, Clone, Copy)]
struct Cloud {
    authority: &'static str,
    scope: &'static str,
}

const CLOUDS: &[(&str, Cloud)] = &[
    ("public", Cloud { authority: "https://login.microsoftonline.com", scope: "https://vault.azure.net/.default" }),
    (
        "usGovernment",
        Cloud { authority: "https://login.microsoftonline.us", scope: "https://vault.usgovcloudapi.net/.default" },
    ),
    ("china", Cloud { authority: "https://login.chinacloudapi.cn", scope: "https://vault.azure.cn/.default" }),
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
    pub(super) fn check(self, at: &str, check: &mut Check) -> Option<AzureKeyVault> {
        if !cfg!(feature = "azure") {
            check.fault(at, "is not in this build of claviger, which was made without its feature azure");
            return None;
        }
        let vault_at = format!("{at}/vaultUrl");
        let vault_url = check
            .required(&vault_at, self.vault_url)
            .and_then(|url| check.noted(&vault_at, address::check_https_server(url)));
        let cloud = check.word(&format!("{at}/cloud"), self.cloud, CLOUDS);
        let endpoints = match (self.authority_url, self.scope) {
            (None, None) => cloud.map(|cloud| (cloud.authority.to_owned(), cloud.scope.to_owned())),
            (Some(authority), Some(scope)) => {
                let authority = check.noted(&format!("{at}/authorityUrl"), address::check_https_server(authority));
                let scope = check.noted(&format!("{at}/scope"), scope_of(scope));
                cloud.and(authority.zip(scope))
            }
            (authority, _) => {
                let missing = if authority.is_some() { "scope" } else { "authorityUrl" };
                check.fault(format!("{at}/{missing}"), "must be set: authorityUrl and scope are written together");
                None
            }
        };
        let ca_file = check.file_if_set(&format!("{at}/caFile"), self.ca_file);
        let proxy_url = address::proxy(&format!("{at}/proxyUrl"), self.proxy_url, check);
        let auth = self.auth.unwrap_or_default().check(&format!("{at}/auth"), check);
        let values = secret_values::check(&format!("{at}/values"), self.values, check);
        let words = [("refuse", Expired::Refuse), ("serve", Expired::Serve)];
        let expired = check.word(&format!("{at}/expired"), self.expired, &words);
        let timeout = check.duration(&format!("{at}/timeout"), self.timeout, MILLISECOND..=MINUTE);
        let cache = self.cache.unwrap_or_default().check(&format!("{at}/cache"), check);
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
    fn check(self, at: &str, check: &mut Check) -> Option<AzureAuth> {
        match (self.workload_identity, self.client_secret) {
            (Some(raw), None) => {
                let at = format!("{at}/workloadIdentity");
                let (tenant_id, client_id) = application(&at, raw.tenant_id, raw.client_id, check);
                let token_file = check.file(&format!("{at}/tokenFile"), raw.token_file);
                Some(AzureAuth::WorkloadIdentity {
                    tenant_id: tenant_id?,
                    client_id: client_id?,
                    token_file: token_file?,
                })
            }
            (None, Some(raw)) => {
                let at = format!("{at}/clientSecret");
                let (tenant_id, client_id) = application(&at, raw.tenant_id, raw.client_id, check);
                let client_secret_file = check.file(&format!("{at}/clientSecretFile"), raw.client_secret_file);
                Some(AzureAuth::ClientSecret {
                    tenant_id: tenant_id?,
                    client_id: client_id?,
                    client_secret_file: client_secret_file?,
                })
            }
            _ => {
                check.fault(at, "must have exactly one of workloadIdentity, clientSecret");
                None
            }
        }
    }
}

fn application(
    at: &str,
    tenant_id: Option<String>,
    client_id: Option<String>,
    check: &mut Check,
) -> (Option<String>, Option<String>) {
    (id(&format!("{at}/tenantId"), tenant_id, check), id(&format!("{at}/clientId"), client_id, check))
}

/// A tenant or an application: the first becomes part of a URL.
fn id(at: &str, value: Option<String>, check: &mut Check) -> Option<String> {
    let id = check.text(at, value)?;
    let good = id.len() <= 253 && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    check.noted(at, if good { Ok(id) } else { Err("must be an id of letters, digits and . -, as az shows it") })
}

/// A scope such as `https://vault.azure.net/.default`: it is written into a header.
fn scope_of(scope: String) -> Result<String, &'static str> {
    let good = scope.starts_with("https://")
        && scope.ends_with("/.default")
        && scope.len() <= 253
        && scope.bytes().all(|b| b.is_ascii_alphanumeric() || b"./:-_".contains(&b));
    if good { Ok(scope) } else { Err("must be a scope such as https://vault.azure.net/.default") }
}
