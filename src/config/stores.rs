//! `stores`: where secrets are read from.

use super::address;
use super::aws_secrets_manager::{AwsSecretsManager, RawAwsSecretsManager};
use super::azure_key_vault::{AzureKeyVault, RawAzureKeyVault};
use super::cache::{Cache, RawCache};
use super::check::{Check, MILLISECOND, MINUTE};
use super::gcp_secret_manager::{GcpSecretManager, RawGcpSecretManager};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One checked entry.
#[derive(Debug, Clone)]
pub struct Store {
    /// Its name, as policies write it.
    pub name: Arc<str>,
    /// Its kind and settings.
    pub kind: Kind,
}

/// A kind of store.
#[derive(Debug, Clone)]
pub enum Kind {
    /// HashiCorp Vault or OpenBao.
    Vault(Vault),
    /// AWS Secrets Manager.
    AwsSecretsManager(AwsSecretsManager),
    /// Azure Key Vault.
    AzureKeyVault(AzureKeyVault),
    /// Google Secret Manager.
    GcpSecretManager(GcpSecretManager),
    /// A YAML file, for development.
    File(PathBuf),
}

/// A Vault or OpenBao server.
#[derive(Debug, Clone)]
pub struct Vault {
    /// `https://host:port`, with an optional path, without a trailing slash.
    pub address: String,
    /// The namespace, sent as `X-Vault-Namespace`.
    pub namespace: Option<String>,
    /// PEM root certificates; the platform's without.
    pub ca_file: Option<PathBuf>,
    /// The client certificate, for a server that requests one.
    pub client_certificate: Option<ClientCertificate>,
    /// The proxy for this server.
    pub proxy_url: Option<String>,
    /// How the broker logs in.
    pub auth: VaultAuth,
    /// The timeout of one call.
    pub timeout: Duration,
    /// The timeout of a call that creates, renews or revokes a credential.
    pub make_timeout: Duration,
    /// How long answers are cached.
    pub cache: Cache,
}

/// A client certificate in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The chain, leaf first.
    pub cert_file: PathBuf,
    /// The key.
    pub key_file: PathBuf,
}

/// How the broker logs in to Vault.
#[derive(Debug, Clone)]
pub enum VaultAuth {
    /// By the broker's own `ServiceAccount` token.
    Kubernetes {
        /// The auth mount.
        mount: String,
        /// The role.
        role: String,
        /// The projected token, read again at every login.
        token_file: PathBuf,
    },
    /// By a JWT for the `jwt` auth method.
    Jwt {
        /// The auth mount.
        mount: String,
        /// The role.
        role: String,
        /// The token, read again at every login.
        token_file: PathBuf,
    },
    /// By role ID and secret ID.
    AppRole {
        /// The auth mount.
        mount: String,
        /// The role id.
        role_id: String,
        /// The secret ID, read again at every login.
        secret_id_file: PathBuf,
    },
    /// By a token from a file, read again when it changes.
    TokenFile(PathBuf),
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawStore {
    pub(super) name: Option<String>,
    vault: Option<RawVault>,
    aws_secrets_manager: Option<RawAwsSecretsManager>,
    azure_key_vault: Option<RawAzureKeyVault>,
    gcp_secret_manager: Option<RawGcpSecretManager>,
    file: Option<RawFile>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawVault {
    address: Option<String>,
    namespace: Option<String>,
    ca_file: Option<String>,
    client_cert_file: Option<String>,
    client_key_file: Option<String>,
    proxy_url: Option<String>,
    auth: Option<RawAuth>,
    timeout: Option<String>,
    make_timeout: Option<String>,
    cache: Option<RawCache>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawAuth {
    kubernetes: Option<RawTokenAuth>,
    jwt: Option<RawTokenAuth>,
    app_role: Option<RawAppRole>,
    token_file: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawTokenAuth {
    mount: Option<String>,
    role: Option<String>,
    token_file: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawAppRole {
    mount: Option<String>,
    role_id: Option<String>,
    secret_id_file: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawFile {
    path: Option<String>,
}

/// Checks the whole list.
pub(super) fn check(raw: Vec<Option<RawStore>>, check: &mut Check) -> Vec<Store> {
    if raw.is_empty() {
        check.fault("/stores", "must have at least one entry: there would be no secrets");
    }
    let mut names = Vec::new();
    let mut checked = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let at = format!("/stores/{index}");
        let Some(mut raw) = check.required(&at, raw) else { continue };
        let name = check.name(&format!("{at}/name"), raw.name.take(), &names);
        names.extend(name.clone());
        let kind = raw.check_kind(&at, check);
        checked.extend(name.zip(kind).map(|(name, kind)| Store { name, kind }));
    }
    checked
}

impl RawStore {
    fn check_kind(self, at: &str, check: &mut Check) -> Option<Kind> {
        match (self.vault, self.aws_secrets_manager, self.azure_key_vault, self.gcp_secret_manager, self.file) {
            (Some(vault), None, None, None, None) => vault.check(&format!("{at}/vault"), check).map(Kind::Vault),
            (None, Some(aws), None, None, None) => {
                aws.check(&format!("{at}/awsSecretsManager"), check).map(Kind::AwsSecretsManager)
            }
            (None, None, Some(azure), None, None) => {
                azure.check(&format!("{at}/azureKeyVault"), check).map(Kind::AzureKeyVault)
            }
            (None, None, None, Some(gcp), None) => {
                gcp.check(&format!("{at}/gcpSecretManager"), check).map(Kind::GcpSecretManager)
            }
            (None, None, None, None, Some(file)) => check.file(&format!("{at}/file/path"), file.path).map(Kind::File),
            _ => {
                check.fault(
                    at,
                    "must have exactly one of vault, awsSecretsManager, azureKeyVault, gcpSecretManager, file",
                );
                None
            }
        }
    }
}

impl RawVault {
    fn check(self, at: &str, check: &mut Check) -> Option<Vault> {
        let address_at = format!("{at}/address");
        let address = check
            .required(&address_at, self.address)
            .and_then(|address| check.noted(&address_at, address::check_base(address)));
        let namespace = self.namespace.and_then(|namespace| mount(&format!("{at}/namespace"), Some(namespace), check));
        let ca_file = check.file_if_set(&format!("{at}/caFile"), self.ca_file);
        let cert_file = check.file_if_set(&format!("{at}/clientCertFile"), self.client_cert_file);
        let key_file = check.file_if_set(&format!("{at}/clientKeyFile"), self.client_key_file);
        if cert_file.is_some() != key_file.is_some() {
            let missing = if cert_file.is_some() { "clientKeyFile" } else { "clientCertFile" };
            check.fault(format!("{at}/{missing}"), "must be set: a client certificate has both files");
        }
        let client_certificate =
            cert_file.zip(key_file).map(|(cert_file, key_file)| ClientCertificate { cert_file, key_file });
        let proxy_url = address::proxy(&format!("{at}/proxyUrl"), self.proxy_url, check);
        let auth = self.auth.unwrap_or_default().check(&format!("{at}/auth"), check);
        let timeout = check.duration(&format!("{at}/timeout"), self.timeout, MILLISECOND..=MINUTE);
        let make_timeout = check.duration(&format!("{at}/makeTimeout"), self.make_timeout, MILLISECOND..=MINUTE * 5);
        let cache = self.cache.unwrap_or_default().check(&format!("{at}/cache"), check);
        Some(Vault {
            address: address?,
            namespace,
            ca_file,
            client_certificate,
            proxy_url,
            auth: auth?,
            timeout: timeout?,
            make_timeout: make_timeout?,
            cache: cache?,
        })
    }
}

impl RawAuth {
    fn check(self, at: &str, check: &mut Check) -> Option<VaultAuth> {
        match (self.kubernetes, self.jwt, self.app_role, self.token_file) {
            (Some(raw), None, None, None) => {
                let (mount, role, token_file) = raw.check(&format!("{at}/kubernetes"), check)?;
                Some(VaultAuth::Kubernetes { mount, role, token_file })
            }
            (None, Some(raw), None, None) => {
                let (mount, role, token_file) = raw.check(&format!("{at}/jwt"), check)?;
                Some(VaultAuth::Jwt { mount, role, token_file })
            }
            (None, None, Some(raw), None) => {
                let at = format!("{at}/appRole");
                let mount = mount(&format!("{at}/mount"), raw.mount, check);
                let role_id = check.text(&format!("{at}/roleId"), raw.role_id);
                let secret_id_file = check.file(&format!("{at}/secretIdFile"), raw.secret_id_file);
                Some(VaultAuth::AppRole { mount: mount?, role_id: role_id?, secret_id_file: secret_id_file? })
            }
            (None, None, None, Some(path)) => {
                check.file(&format!("{at}/tokenFile"), Some(path)).map(VaultAuth::TokenFile)
            }
            _ => {
                check.fault(at, "must have exactly one of kubernetes, jwt, appRole, tokenFile");
                None
            }
        }
    }
}

impl RawTokenAuth {
    fn check(self, at: &str, check: &mut Check) -> Option<(String, String, PathBuf)> {
        let mount = mount(&format!("{at}/mount"), self.mount, check);
        let role = check.text(&format!("{at}/role"), self.role);
        let token_file = check.file(&format!("{at}/tokenFile"), self.token_file);
        Some((mount?, role?, token_file?))
    }
}

/// An auth mount or a namespace. It becomes part of a URL path or of a header, so its characters are restricted.
fn mount(at: &str, value: Option<String>, check: &mut Check) -> Option<String> {
    let text = check.text(at, value)?;
    let good = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    if !text.split('/').all(good) {
        check.fault(at, "must be segments of letters, digits and . _ - with no slash at either end");
        return None;
    }
    Some(text)
}
