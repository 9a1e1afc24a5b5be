//! `stores`: where secrets are read from.

use super::address;
use super::aws_secrets_manager::{AwsSecretsManager, RawAwsSecretsManager};
use super::azure_key_vault::{AzureKeyVault, RawAzureKeyVault};
use super::cache::{Cache, RawCache};
use super::fault_collector::{FaultCollector, MILLISECOND, MINUTE};
use super::gcp_secret_manager::{GcpSecretManager, RawGcpSecretManager};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A validated entry.
#[derive(Debug, Clone)]
pub struct Store {
    /// The name, which policies use.
    pub name: Arc<str>,
    /// The kind with its settings.
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
    /// PEM root certificates. `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// The client certificate, for a server that requests one.
    pub client_certificate: Option<ClientCertificate>,
    /// The proxy for this server.
    pub proxy_url: Option<String>,
    /// How Claviger logs in.
    pub auth: VaultAuthMethod,
    /// The timeout of one call.
    pub timeout: Duration,
    /// The timeout of a call that creates, renews or revokes a credential.
    pub make_timeout: Duration,
    /// How long secrets are cached.
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

/// How Claviger logs in to Vault.
#[derive(Debug, Clone)]
pub enum VaultAuthMethod {
    /// With Claviger's `ServiceAccount` token.
    Kubernetes {
        /// The auth mount.
        mount: String,
        /// The role.
        role: String,
        /// The projected token, read again at every login.
        token_file: PathBuf,
    },
    /// With a JWT, for the auth method `jwt`.
    Jwt {
        /// The auth mount.
        mount: String,
        /// The role.
        role: String,
        /// The token, read again at every login.
        token_file: PathBuf,
    },
    /// With a role ID and a secret ID.
    AppRole {
        /// The auth mount.
        mount: String,
        /// The role id.
        role_id: String,
        /// The secret ID, read again at every login.
        secret_id_file: PathBuf,
    },
    /// With a token from a file, read again when it changes.
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

/// Validates the list.
pub(super) fn validate(raw: Vec<Option<RawStore>>, faults: &mut FaultCollector) -> Vec<Store> {
    if raw.is_empty() {
        faults.record("/stores", "must have at least one entry: without one, there are no secrets");
    }
    let mut names = Vec::new();
    let mut checked = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let pointer = format!("/stores/{index}");
        let Some(mut raw) = faults.require(&pointer, raw) else { continue };
        let name = faults.require_name(&format!("{pointer}/name"), raw.name.take(), &names);
        names.extend(name.clone());
        let kind = raw.validate_kind(&pointer, faults);
        checked.extend(name.zip(kind).map(|(name, kind)| Store { name, kind }));
    }
    checked
}

impl RawStore {
    fn validate_kind(self, pointer: &str, faults: &mut FaultCollector) -> Option<Kind> {
        match (self.vault, self.aws_secrets_manager, self.azure_key_vault, self.gcp_secret_manager, self.file) {
            (Some(vault), None, None, None, None) => {
                vault.validate(&format!("{pointer}/vault"), faults).map(Kind::Vault)
            }
            (None, Some(aws), None, None, None) => {
                aws.validate(&format!("{pointer}/awsSecretsManager"), faults).map(Kind::AwsSecretsManager)
            }
            (None, None, Some(azure), None, None) => {
                azure.validate(&format!("{pointer}/azureKeyVault"), faults).map(Kind::AzureKeyVault)
            }
            (None, None, None, Some(gcp), None) => {
                gcp.validate(&format!("{pointer}/gcpSecretManager"), faults).map(Kind::GcpSecretManager)
            }
            (None, None, None, None, Some(file)) => {
                faults.require_file(&format!("{pointer}/file/path"), file.path).map(Kind::File)
            }
            _ => faults.record_none(
                pointer,
                "must have exactly one of vault, awsSecretsManager, azureKeyVault, gcpSecretManager, file",
            ),
        }
    }
}

impl RawVault {
    fn validate(self, pointer: &str, faults: &mut FaultCollector) -> Option<Vault> {
        let address = faults.require_parsed(&format!("{pointer}/address"), self.address, address::validate_base);
        let namespace = self
            .namespace
            .and_then(|namespace| validate_mount(&format!("{pointer}/namespace"), Some(namespace), faults));
        let ca_file = faults.optional_file(&format!("{pointer}/caFile"), self.ca_file);
        let cert_file = faults.optional_file(&format!("{pointer}/clientCertFile"), self.client_cert_file);
        let key_file = faults.optional_file(&format!("{pointer}/clientKeyFile"), self.client_key_file);
        if cert_file.is_some() != key_file.is_some() {
            let missing = if cert_file.is_some() { "clientKeyFile" } else { "clientCertFile" };
            faults.record(format!("{pointer}/{missing}"), "must be set: a client certificate has both files");
        }
        let client_certificate =
            cert_file.zip(key_file).map(|(cert_file, key_file)| ClientCertificate { cert_file, key_file });
        let proxy_url = address::validate_optional(&format!("{pointer}/proxyUrl"), self.proxy_url, faults);
        let auth = self.auth.unwrap_or_default().validate(&format!("{pointer}/auth"), faults);
        let timeout = faults.require_duration(&format!("{pointer}/timeout"), self.timeout, MILLISECOND..=MINUTE);
        let make_timeout =
            faults.require_duration(&format!("{pointer}/makeTimeout"), self.make_timeout, MILLISECOND..=MINUTE * 5);
        let cache = self.cache.unwrap_or_default().validate(&format!("{pointer}/cache"), faults);
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
    fn validate(self, pointer: &str, faults: &mut FaultCollector) -> Option<VaultAuthMethod> {
        match (self.kubernetes, self.jwt, self.app_role, self.token_file) {
            (Some(raw), None, None, None) => {
                let (mount, role, token_file) = raw.validate(&format!("{pointer}/kubernetes"), faults)?;
                Some(VaultAuthMethod::Kubernetes { mount, role, token_file })
            }
            (None, Some(raw), None, None) => {
                let (mount, role, token_file) = raw.validate(&format!("{pointer}/jwt"), faults)?;
                Some(VaultAuthMethod::Jwt { mount, role, token_file })
            }
            (None, None, Some(raw), None) => {
                let pointer = format!("{pointer}/appRole");
                let mount = validate_mount(&format!("{pointer}/mount"), raw.mount, faults);
                let role_id = faults.require_text(&format!("{pointer}/roleId"), raw.role_id);
                let secret_id_file = faults.require_file(&format!("{pointer}/secretIdFile"), raw.secret_id_file);
                Some(VaultAuthMethod::AppRole { mount: mount?, role_id: role_id?, secret_id_file: secret_id_file? })
            }
            (None, None, None, Some(path)) => {
                faults.require_file(&format!("{pointer}/tokenFile"), Some(path)).map(VaultAuthMethod::TokenFile)
            }
            _ => faults.record_none(pointer, "must have exactly one of kubernetes, jwt, appRole, tokenFile"),
        }
    }
}

impl RawTokenAuth {
    fn validate(self, pointer: &str, faults: &mut FaultCollector) -> Option<(String, String, PathBuf)> {
        let mount = validate_mount(&format!("{pointer}/mount"), self.mount, faults);
        let role = faults.require_text(&format!("{pointer}/role"), self.role);
        let token_file = faults.require_file(&format!("{pointer}/tokenFile"), self.token_file);
        Some((mount?, role?, token_file?))
    }
}

/// Validates an auth mount or a namespace. Its characters are restricted, because it becomes part of a URL path or of a header.
fn validate_mount(pointer: &str, value: Option<String>, faults: &mut FaultCollector) -> Option<String> {
    let text = faults.require_text(pointer, value)?;
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    let is_valid = text.split('/').all(is_segment);
    let detail = "must be segments of letters, digits and . _ - with no slash at either end";
    faults.valid_or_record(pointer, text, is_valid, detail)
}
