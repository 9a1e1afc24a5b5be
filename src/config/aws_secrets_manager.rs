//! `stores[].awsSecretsManager`: an AWS region and Claviger's credentials.
//!
//! The environment, shared AWS files and the instance metadata service are not used, so that Claviger's identity depends on its
//! configuration and not on the machine.

use super::address;
use super::cache::{Cache, RawCache};
use super::fault_collector::{FaultCollector, MILLISECOND, MINUTE};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// The hosts that may be asked for container credentials over plain HTTP, because traffic to them does not leave the machine.
const PLAIN_HTTP_HOSTS: [&str; 5] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "127.0.0.1", "[::1]"];

/// AWS Secrets Manager in one region.
#[derive(Debug, Clone)]
pub struct AwsSecretsManager {
    /// The region, such as `eu-central-1`.
    pub region: String,
    /// An endpoint other than the region's default.
    pub endpoint_url: Option<String>,
    /// PEM root certificates. `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// The proxy for AWS. It is not used for the agent of [`AwsAuth::ContainerCredentials`].
    pub proxy_url: Option<String>,
    /// The source of Claviger's credentials.
    pub auth: AwsAuth,
    /// The timeout of one call.
    pub timeout: Duration,
    /// How long secrets are cached.
    pub cache: Cache,
}

/// The source of Claviger's credentials.
#[derive(Debug, Clone)]
pub enum AwsAuth {
    /// A role that Claviger's `ServiceAccount` token may assume (IRSA).
    WebIdentity {
        /// The role.
        role_arn: String,
        /// The projected token, read again at every login.
        token_file: PathBuf,
        /// The session name in CloudTrail.
        session_name: String,
        /// An STS endpoint other than the region's default.
        sts_endpoint_url: Option<String>,
    },
    /// An agent on the node (EKS Pod Identity, ECS).
    ContainerCredentials {
        /// The agent's address.
        full_uri: String,
        /// The token for the agent, read again at every login.
        token_file: PathBuf,
    },
    /// The access key of a user, read again if AWS rejects it.
    StaticKeys {
        /// The access key id.
        access_key_id_file: PathBuf,
        /// The secret access key.
        secret_access_key_file: PathBuf,
    },
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAwsSecretsManager {
    region: Option<String>,
    endpoint_url: Option<String>,
    ca_file: Option<String>,
    proxy_url: Option<String>,
    auth: Option<RawAuth>,
    timeout: Option<String>,
    cache: Option<RawCache>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawAuth {
    web_identity: Option<RawWebIdentity>,
    container_credentials: Option<RawContainerCredentials>,
    static_keys: Option<RawStaticKeys>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawWebIdentity {
    role_arn: Option<String>,
    token_file: Option<String>,
    session_name: Option<String>,
    sts_endpoint_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawContainerCredentials {
    full_uri: Option<String>,
    token_file: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawStaticKeys {
    access_key_id_file: Option<String>,
    secret_access_key_file: Option<String>,
}

impl RawAwsSecretsManager {
    pub(super) fn validate(self, pointer: &str, faults: &mut FaultCollector) -> Option<AwsSecretsManager> {
        if !cfg!(feature = "aws") {
            return faults
                .record_none(pointer, "is not in this build of claviger, which was made without its feature aws");
        }
        let region = validate_region(&format!("{pointer}/region"), self.region, faults);
        let endpoint_url = address::validate_optional(&format!("{pointer}/endpointUrl"), self.endpoint_url, faults);
        let ca_file = faults.optional_file(&format!("{pointer}/caFile"), self.ca_file);
        let proxy_url = address::validate_optional(&format!("{pointer}/proxyUrl"), self.proxy_url, faults);
        let auth = self.auth.unwrap_or_default().validate(&format!("{pointer}/auth"), faults);
        let timeout = faults.require_duration(&format!("{pointer}/timeout"), self.timeout, MILLISECOND..=MINUTE);
        let cache = self.cache.unwrap_or_default().validate(&format!("{pointer}/cache"), faults);
        Some(AwsSecretsManager {
            region: region?,
            endpoint_url,
            ca_file,
            proxy_url,
            auth: auth?,
            timeout: timeout?,
            cache: cache?,
        })
    }
}

impl RawAuth {
    fn validate(self, pointer: &str, faults: &mut FaultCollector) -> Option<AwsAuth> {
        match (self.web_identity, self.container_credentials, self.static_keys) {
            (Some(raw), None, None) => raw.validate(&format!("{pointer}/webIdentity"), faults),
            (None, Some(raw), None) => raw.validate(&format!("{pointer}/containerCredentials"), faults),
            (None, None, Some(raw)) => raw.validate(&format!("{pointer}/staticKeys"), faults),
            _ => faults.record_none(pointer, "must have exactly one of webIdentity, containerCredentials, staticKeys"),
        }
    }
}

impl RawWebIdentity {
    fn validate(self, pointer: &str, faults: &mut FaultCollector) -> Option<AwsAuth> {
        let role_pointer = format!("{pointer}/roleArn");
        let role_arn = faults.require_text(&role_pointer, self.role_arn).and_then(|arn| {
            let is_valid =
                arn.starts_with("arn:") && arn.contains(":role/") && arn.bytes().all(|b| b.is_ascii_graphic());
            faults.valid_or_record(&role_pointer, arn, is_valid, "must be a role, arn:aws:iam::ACCOUNT:role/NAME")
        });
        let token_file = faults.require_file(&format!("{pointer}/tokenFile"), self.token_file);
        let name_pointer = format!("{pointer}/sessionName");
        let session_name = faults.require_text(&name_pointer, self.session_name).and_then(|name| {
            let is_valid = (2..=64).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_=,.@-".contains(&b));
            faults.valid_or_record(&name_pointer, name, is_valid, "must be 2 to 64 letters, digits and _ = , . @ -")
        });
        let sts_endpoint_url =
            address::validate_optional(&format!("{pointer}/stsEndpointUrl"), self.sts_endpoint_url, faults);
        Some(AwsAuth::WebIdentity {
            role_arn: role_arn?,
            token_file: token_file?,
            session_name: session_name?,
            sts_endpoint_url,
        })
    }
}

impl RawContainerCredentials {
    fn validate(self, pointer: &str, faults: &mut FaultCollector) -> Option<AwsAuth> {
        let uri_pointer = format!("{pointer}/fullUri");
        let full_uri = faults.require_parsed(&uri_pointer, self.full_uri, address::validate).and_then(|uri| {
            let is_local = PLAIN_HTTP_HOSTS.iter().any(|host| has_host(&uri, host));
            let is_safe = uri.starts_with("https://") || is_local;
            faults.valid_or_record(&uri_pointer, uri, is_safe, "must be https, or an address of this machine")
        });
        let token_file = faults.require_file(&format!("{pointer}/tokenFile"), self.token_file);
        Some(AwsAuth::ContainerCredentials { full_uri: full_uri?, token_file: token_file? })
    }
}

impl RawStaticKeys {
    fn validate(self, pointer: &str, faults: &mut FaultCollector) -> Option<AwsAuth> {
        let access_key_id_file = faults.require_file(&format!("{pointer}/accessKeyIdFile"), self.access_key_id_file);
        let secret_access_key_file =
            faults.require_file(&format!("{pointer}/secretAccessKeyFile"), self.secret_access_key_file);
        Some(AwsAuth::StaticKeys {
            access_key_id_file: access_key_id_file?,
            secret_access_key_file: secret_access_key_file?,
        })
    }
}

/// Whether an `http://` address has this host.
fn has_host(uri: &str, host: &str) -> bool {
    let rest = uri.strip_prefix("http://").and_then(|rest| rest.strip_prefix(host));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
}

/// Validates a region. Its characters are restricted, because it becomes part of a host name.
fn validate_region(pointer: &str, value: Option<String>, faults: &mut FaultCollector) -> Option<String> {
    let region = faults.require_text(pointer, value)?;
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_valid =
        region.len() <= 63 && region.bytes().all(is_allowed) && !region.starts_with('-') && !region.ends_with('-');
    faults.valid_or_record(pointer, region, is_valid, "must be a region such as eu-central-1")
}
