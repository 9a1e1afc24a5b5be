//! `stores[].gcpSecretManager`: the secrets of one Google Cloud project, and the broker's identity there.
//!
//! Nothing is taken from the environment or from a home directory, and no address from an answer or from a credential file.

use super::address;
use super::cache::{Cache, RawCache};
use super::check::{Check, MILLISECOND, MINUTE};
use super::secret_values::{self, SecretValues};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// The addresses of GKE's metadata server.
const METADATA: [&str; 2] = ["http://169.254.169.254", "http://[fd20:ce::254]"];

/// Secret Manager of one project.
#[derive(Debug, Clone)]
pub struct GcpSecretManager {
    /// The project's id or number.
    pub project: String,
    /// The location of regional secrets; global ones without.
    pub location: Option<String>,
    /// The address of the API.
    pub endpoint_url: String,
    /// PEM roots; the platform's without.
    pub ca_file: Option<PathBuf>,
    /// The proxy that Google is reached through; the metadata server is not.
    pub proxy_url: Option<String>,
    /// The broker's identity.
    pub auth: GcpAuth,
    /// The form of a secret's data.
    pub values: SecretValues,
    /// The budget of one call.
    pub timeout: Duration,
    /// How long answers are kept.
    pub cache: Cache,
}

/// How the broker gets its access token.
#[derive(Debug, Clone)]
pub enum GcpAuth {
    /// Its ServiceAccount token is exchanged for one of the federated identity.
    WorkloadIdentityFederation {
        /// `projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER`.
        provider: String,
        /// The projected token, read again at every login.
        token_file: PathBuf,
        /// The e-mail address of a service account to impersonate.
        service_account: Option<String>,
        /// The address of the token exchange.
        sts_url: String,
        /// The address of the impersonation.
        iam_credentials_url: String,
    },
    /// The metadata server of a GKE node.
    MetadataServer {
        /// The service account, `default` for the pod's own.
        service_account: String,
        /// The server's address.
        endpoint_url: String,
    },
    /// The key of a service account, read again at every login.
    ServiceAccountKeyFile(PathBuf),
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawGcpSecretManager {
    project: Option<String>,
    location: Option<String>,
    endpoint_url: Option<String>,
    ca_file: Option<String>,
    proxy_url: Option<String>,
    auth: Option<RawAuth>,
    values: Option<String>,
    timeout: Option<String>,
    cache: Option<RawCache>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawAuth {
    workload_identity_federation: Option<RawFederation>,
    metadata_server: Option<RawMetadataServer>,
    service_account_key_file: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawFederation {
    provider: Option<String>,
    token_file: Option<String>,
    service_account: Option<String>,
    sts_url: Option<String>,
    iam_credentials_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawMetadataServer {
    service_account: Option<String>,
    endpoint_url: Option<String>,
}

impl RawGcpSecretManager {
    pub(super) fn check(self, at: &str, check: &mut Check) -> Option<GcpSecretManager> {
        if !cfg!(feature = "gcp") {
            check.fault(at, "is not in this build of claviger, which was made without its feature gcp");
            return None;
        }
        let project_at = format!("{at}/project");
        let project = check.text(&project_at, self.project).and_then(|project| {
            let good = is_name(&project, b"-:.");
            check.noted(&project_at, if good { Ok(project) } else { Err("must be the id or the number of a project") })
        });
        let location_at = format!("{at}/location");
        let location = self.location.and_then(|location| {
            let good = is_name(&location, b"-");
            check.noted(&location_at, if good { Ok(location) } else { Err("must be a location such as europe-west3") })
        });
        let host = location.as_ref().map_or_else(
            || "https://secretmanager.googleapis.com".to_owned(),
            |location| format!("https://secretmanager.{location}.rep.googleapis.com"),
        );
        let endpoint_url = match self.endpoint_url {
            Some(url) => endpoint(&format!("{at}/endpointUrl"), Some(url), check),
            None => Some(host),
        };
        let ca_file = check.file_if_set(&format!("{at}/caFile"), self.ca_file);
        let proxy_url = address::proxy(&format!("{at}/proxyUrl"), self.proxy_url, check);
        let auth = self.auth.unwrap_or_default().check(&format!("{at}/auth"), check);
        let values = secret_values::check(&format!("{at}/values"), self.values, check);
        let timeout = check.duration(&format!("{at}/timeout"), self.timeout, MILLISECOND..=MINUTE);
        let cache = self.cache.unwrap_or_default().check(&format!("{at}/cache"), check);
        Some(GcpSecretManager {
            project: project?,
            location,
            endpoint_url: endpoint_url?,
            ca_file,
            proxy_url,
            auth: auth?,
            values: values?,
            timeout: timeout?,
            cache: cache?,
        })
    }
}

impl RawAuth {
    fn check(self, at: &str, check: &mut Check) -> Option<GcpAuth> {
        match (self.workload_identity_federation, self.metadata_server, self.service_account_key_file) {
            (Some(raw), None, None) => raw.check(&format!("{at}/workloadIdentityFederation"), check),
            (None, Some(raw), None) => raw.check(&format!("{at}/metadataServer"), check),
            (None, None, Some(path)) => {
                check.file(&format!("{at}/serviceAccountKeyFile"), Some(path)).map(GcpAuth::ServiceAccountKeyFile)
            }
            _ => {
                check.fault(
                    at,
                    "must have exactly one of workloadIdentityFederation, metadataServer, serviceAccountKeyFile",
                );
                None
            }
        }
    }
}

impl RawFederation {
    fn check(self, at: &str, check: &mut Check) -> Option<GcpAuth> {
        const SHAPE: &str = "must be projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER";
        let provider_at = format!("{at}/provider");
        let provider = check
            .text(&provider_at, self.provider)
            .and_then(|text| check.noted(&provider_at, if is_provider(&text) { Ok(text) } else { Err(SHAPE) }));
        let token_file = check.file(&format!("{at}/tokenFile"), self.token_file);
        let account_at = format!("{at}/serviceAccount");
        let service_account = self.service_account.map(|text| account(&account_at, text, check));
        let sts_url = endpoint(&format!("{at}/stsUrl"), self.sts_url, check);
        let iam_credentials_url = endpoint(&format!("{at}/iamCredentialsUrl"), self.iam_credentials_url, check);
        Some(GcpAuth::WorkloadIdentityFederation {
            provider: provider?,
            token_file: token_file?,
            service_account: match service_account {
                Some(checked) => Some(checked?),
                None => None,
            },
            sts_url: sts_url?,
            iam_credentials_url: iam_credentials_url?,
        })
    }
}

impl RawMetadataServer {
    fn check(self, at: &str, check: &mut Check) -> Option<GcpAuth> {
        let account_at = format!("{at}/serviceAccount");
        let service_account = check
            .text(&account_at, self.service_account)
            .and_then(|text| if text == "default" { Some(text) } else { account(&account_at, text, check) });
        let url_at = format!("{at}/endpointUrl");
        let endpoint_url = check
            .required(&url_at, self.endpoint_url)
            .and_then(|url| check.noted(&url_at, address::check_server(url)))
            .and_then(|url| {
                let near =
                    METADATA.contains(&url.as_str()) || (url.starts_with("http://") && !address::is_in_clear(&url));
                let refusal = "must be http://169.254.169.254, http://[fd20:ce::254] or an address of this machine";
                check.noted(&url_at, if near { Ok(url) } else { Err(refusal) })
            });
        Some(GcpAuth::MetadataServer { service_account: service_account?, endpoint_url: endpoint_url? })
    }
}

/// The e-mail address of a service account: it becomes part of a path.
fn account(at: &str, text: String, check: &mut Check) -> Option<String> {
    let good = text.split_once('@').is_some_and(|(name, domain)| is_name(name, b"-") && is_name(domain, b"-."));
    check.noted(at, if good { Ok(text) } else { Err("must be NAME@PROJECT.iam.gserviceaccount.com") })
}

fn is_provider(text: &str) -> bool {
    let segments: Vec<&str> = text.split('/').collect();
    let ["projects", number, "locations", "global", "workloadIdentityPools", pool, "providers", provider] =
        segments[..]
    else {
        return false;
    };
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) && is_name(pool, b"-") && is_name(provider, b"-")
}

/// Lower-case letters, digits and some signs, none of them at an end: a host or a segment of a path.
fn is_name(text: &str, signs: &[u8]) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    text.len() <= 253
        && bytes.iter().all(|b| is_plain(*b) || signs.contains(b))
        && bytes.first().is_some_and(|b| is_plain(*b))
        && bytes.last().is_some_and(|b| is_plain(*b))
}

/// The address of a server of Google: https, or an emulator on this machine.
fn endpoint(at: &str, value: Option<String>, check: &mut Check) -> Option<String> {
    let url = check.required(at, value)?;
    check.noted(at, address::check_https_or_local_server(url))
}
