//! `stores[].gcpSecretManager`: the secrets of a Google Cloud project, and Claviger's identity there.
//!
//! The environment, home directories, and addresses in responses or credential files are not used.

use super::address;
use super::cache::{Cache, RawCache};
use super::fault_collector::{FaultCollector, MILLISECOND, MINUTE};
use super::value_format::{self, ValueFormat};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// The addresses of the GKE metadata server.
const METADATA_SERVERS: [&str; 2] = ["http://169.254.169.254", "http://[fd20:ce::254]"];

/// Google Secret Manager of one project.
#[derive(Debug, Clone)]
pub struct GcpSecretManager {
    /// The project's id or number.
    pub project: String,
    /// The location of regional secrets. `None`: global secrets.
    pub location: Option<String>,
    /// The address of the API.
    pub endpoint_url: String,
    /// PEM root certificates. `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// The proxy for Google. It is not used for the metadata server.
    pub proxy_url: Option<String>,
    /// Claviger's identity.
    pub auth: GcpAuth,
    /// How the data of a secret becomes keys and values.
    pub values: ValueFormat,
    /// The timeout of one call.
    pub timeout: Duration,
    /// How long secrets are cached.
    pub cache: Cache,
}

/// How Claviger gets its access token.
#[derive(Debug, Clone)]
pub enum GcpAuth {
    /// Exchanges its ServiceAccount token for a token of the federated identity.
    WorkloadIdentityFederation {
        /// `projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER`.
        provider: String,
        /// The projected token, read again at every login.
        token_file: PathBuf,
        /// The e-mail address of a service account to impersonate.
        service_account: Option<String>,
        /// The address of the Security Token Service.
        sts_url: String,
        /// The address of the IAM Service Account Credentials API.
        iam_credentials_url: String,
    },
    /// The metadata server of a GKE node.
    MetadataServer {
        /// The service account. `default`: that of the pod.
        service_account: String,
        /// The address of the metadata server.
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
    pub(super) fn validate(self, pointer: &str, faults: &mut FaultCollector) -> Option<GcpSecretManager> {
        if !cfg!(feature = "gcp") {
            return faults
                .record_none(pointer, "is not in this build of claviger, which was made without its feature gcp");
        }
        let project_pointer = format!("{pointer}/project");
        let project = faults.require_text(&project_pointer, self.project).and_then(|project| {
            let is_valid = is_name(&project, b"-:.");
            faults.valid_or_record(&project_pointer, project, is_valid, "must be the id or the number of a project")
        });
        let location_pointer = format!("{pointer}/location");
        let location = self.location.and_then(|location| {
            let is_valid = is_name(&location, b"-");
            faults.valid_or_record(&location_pointer, location, is_valid, "must be a location such as europe-west3")
        });
        let default_url = location.as_ref().map_or_else(
            || "https://secretmanager.googleapis.com".to_owned(),
            |location| format!("https://secretmanager.{location}.rep.googleapis.com"),
        );
        let endpoint_url = match self.endpoint_url {
            Some(url) => validate_endpoint(&format!("{pointer}/endpointUrl"), Some(url), faults),
            None => Some(default_url),
        };
        let ca_file = faults.optional_file(&format!("{pointer}/caFile"), self.ca_file);
        let proxy_url = address::validate_optional(&format!("{pointer}/proxyUrl"), self.proxy_url, faults);
        let auth = self.auth.unwrap_or_default().validate(&format!("{pointer}/auth"), faults);
        let values = value_format::validate(&format!("{pointer}/values"), self.values, faults);
        let timeout = faults.require_duration(&format!("{pointer}/timeout"), self.timeout, MILLISECOND..=MINUTE);
        let cache = self.cache.unwrap_or_default().validate(&format!("{pointer}/cache"), faults);
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
    fn validate(self, pointer: &str, faults: &mut FaultCollector) -> Option<GcpAuth> {
        match (self.workload_identity_federation, self.metadata_server, self.service_account_key_file) {
            (Some(raw), None, None) => raw.validate(&format!("{pointer}/workloadIdentityFederation"), faults),
            (None, Some(raw), None) => raw.validate(&format!("{pointer}/metadataServer"), faults),
            (None, None, Some(path)) => faults
                .require_file(&format!("{pointer}/serviceAccountKeyFile"), Some(path))
                .map(GcpAuth::ServiceAccountKeyFile),
            _ => faults.record_none(
                pointer,
                "must have exactly one of workloadIdentityFederation, metadataServer, serviceAccountKeyFile",
            ),
        }
    }
}

impl RawFederation {
    fn validate(self, pointer: &str, faults: &mut FaultCollector) -> Option<GcpAuth> {
        const EXPECTED_FORM: &str =
            "must be projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER";
        let provider_pointer = format!("{pointer}/provider");
        let provider = faults.require_text(&provider_pointer, self.provider).and_then(|text| {
            let is_valid = is_provider_name(&text);
            faults.valid_or_record(&provider_pointer, text, is_valid, EXPECTED_FORM)
        });
        let token_file = faults.require_file(&format!("{pointer}/tokenFile"), self.token_file);
        let account_pointer = format!("{pointer}/serviceAccount");
        let service_account = self.service_account.and_then(|text| validate_account(&account_pointer, text, faults));
        let sts_url = validate_endpoint(&format!("{pointer}/stsUrl"), self.sts_url, faults);
        let iam_credentials_url =
            validate_endpoint(&format!("{pointer}/iamCredentialsUrl"), self.iam_credentials_url, faults);
        Some(GcpAuth::WorkloadIdentityFederation {
            provider: provider?,
            token_file: token_file?,
            service_account,
            sts_url: sts_url?,
            iam_credentials_url: iam_credentials_url?,
        })
    }
}

impl RawMetadataServer {
    fn validate(self, pointer: &str, faults: &mut FaultCollector) -> Option<GcpAuth> {
        let account_pointer = format!("{pointer}/serviceAccount");
        let service_account = faults.require_text(&account_pointer, self.service_account).and_then(|text| {
            if text == "default" { Some(text) } else { validate_account(&account_pointer, text, faults) }
        });
        let url_pointer = format!("{pointer}/endpointUrl");
        let endpoint_url = faults.require_parsed(&url_pointer, self.endpoint_url, address::validate_server);
        let endpoint_url = endpoint_url.and_then(|url| {
            let is_allowed = METADATA_SERVERS.contains(&url.as_str())
                || (url.starts_with("http://") && !address::is_unencrypted_remote(&url));
            let detail = "must be http://169.254.169.254, http://[fd20:ce::254] or an address of this machine";
            faults.valid_or_record(&url_pointer, url, is_allowed, detail)
        });
        Some(GcpAuth::MetadataServer { service_account: service_account?, endpoint_url: endpoint_url? })
    }
}

/// Validates the e-mail address of a service account. Its characters are restricted, because it becomes part of a path.
fn validate_account(pointer: &str, text: String, faults: &mut FaultCollector) -> Option<String> {
    let is_valid = text.split_once('@').is_some_and(|(name, domain)| is_name(name, b"-") && is_name(domain, b"-."));
    faults.valid_or_record(pointer, text, is_valid, "must be NAME@PROJECT.iam.gserviceaccount.com")
}

fn is_provider_name(text: &str) -> bool {
    let segments: Vec<&str> = text.split('/').collect();
    let ["projects", number, "locations", "global", "workloadIdentityPools", pool, "providers", provider] =
        segments[..]
    else {
        return false;
    };
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) && is_name(pool, b"-") && is_name(provider, b"-")
}

/// Whether a text consists of lower-case letters, digits and these signs, with no sign at either end.
fn is_name(text: &str, signs: &[u8]) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    text.len() <= 253
        && bytes.iter().all(|b| is_plain(*b) || signs.contains(b))
        && bytes.first().is_some_and(|b| is_plain(*b))
        && bytes.last().is_some_and(|b| is_plain(*b))
}

/// Validates the address of a Google API: `https://`, or an emulator on this machine.
fn validate_endpoint(pointer: &str, value: Option<String>, faults: &mut FaultCollector) -> Option<String> {
    faults.require_parsed(pointer, value, address::validate_https_or_local_server)
}
