//! `stores[].awsSecretsManager`: an AWS region and the broker's credentials.
//!
//! Nothing is taken from the environment, from shared AWS files or from the instance metadata service: the
//! broker's identity comes from its configuration, not from the machine it runs on.

use super::address;
use super::cache::{Cache, RawCache};
use super::check::{Check, MILLISECOND, MINUTE};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// The hosts that may be asked for container credentials over plain HTTP: traffic to them never leaves the
/// machine.
const LINK_LOCAL: [&str; 5] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "127.0.0.1", "[::1]"];

/// AWS Secrets Manager in one region.
#[derive(Debug, Clone)]
pub struct AwsSecretsManager {
    /// The region, such as `eu-central-1`.
    pub region: String,
    /// An endpoint other than the region's default.
    pub endpoint_url: Option<String>,
    /// PEM root certificates; the platform's without.
    pub ca_file: Option<PathBuf>,
    /// The proxy for AWS; not used for an agent on the node.
    pub proxy_url: Option<String>,
    /// The source of the broker's credentials.
    pub auth: AwsAuth,
    /// The timeout of one call.
    pub timeout: Duration,
    /// How long answers are cached.
    pub cache: Cache,
}

/// The source of the broker's credentials.
#[derive(Debug, Clone)]
pub enum AwsAuth {
    /// A role that the broker's `ServiceAccount` token may assume (IRSA).
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
    pub(super) fn check(self, at: &str, check: &mut Check) -> Option<AwsSecretsManager> {
        if !cfg!(feature = "aws") {
            check.fault(at, "is not in this build of claviger, which was made without its feature aws");
            return None;
        }
        let region = region(&format!("{at}/region"), self.region, check);
        let endpoint_url = endpoint(&format!("{at}/endpointUrl"), self.endpoint_url, check);
        let ca_file = check.file_if_set(&format!("{at}/caFile"), self.ca_file);
        let proxy_url = address::proxy(&format!("{at}/proxyUrl"), self.proxy_url, check);
        let auth = self.auth.unwrap_or_default().check(&format!("{at}/auth"), check);
        let timeout = check.duration(&format!("{at}/timeout"), self.timeout, MILLISECOND..=MINUTE);
        let cache = self.cache.unwrap_or_default().check(&format!("{at}/cache"), check);
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
    fn check(self, at: &str, check: &mut Check) -> Option<AwsAuth> {
        match (self.web_identity, self.container_credentials, self.static_keys) {
            (Some(raw), None, None) => raw.check(&format!("{at}/webIdentity"), check),
            (None, Some(raw), None) => raw.check(&format!("{at}/containerCredentials"), check),
            (None, None, Some(raw)) => raw.check(&format!("{at}/staticKeys"), check),
            _ => {
                check.fault(at, "must have exactly one of webIdentity, containerCredentials, staticKeys");
                None
            }
        }
    }
}

impl RawWebIdentity {
    fn check(self, at: &str, check: &mut Check) -> Option<AwsAuth> {
        let role_at = format!("{at}/roleArn");
        let role_arn = check.text(&role_at, self.role_arn).and_then(|arn| {
            let good = arn.starts_with("arn:") && arn.contains(":role/") && arn.bytes().all(|b| b.is_ascii_graphic());
            check.noted(&role_at, if good { Ok(arn) } else { Err("must be a role, arn:aws:iam::ACCOUNT:role/NAME") })
        });
        let token_file = check.file(&format!("{at}/tokenFile"), self.token_file);
        let name_at = format!("{at}/sessionName");
        let session_name = check.text(&name_at, self.session_name).and_then(|name| {
            let good = (2..=64).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_=,.@-".contains(&b));
            check.noted(&name_at, if good { Ok(name) } else { Err("must be 2 to 64 letters, digits and _ = , . @ -") })
        });
        let sts_endpoint_url = endpoint(&format!("{at}/stsEndpointUrl"), self.sts_endpoint_url, check);
        Some(AwsAuth::WebIdentity {
            role_arn: role_arn?,
            token_file: token_file?,
            session_name: session_name?,
            sts_endpoint_url,
        })
    }
}

impl RawContainerCredentials {
    fn check(self, at: &str, check: &mut Check) -> Option<AwsAuth> {
        let uri_at = format!("{at}/fullUri");
        let full_uri = check
            .required(&uri_at, self.full_uri)
            .and_then(|uri| check.noted(&uri_at, address::check(uri)))
            .and_then(|uri| {
                let local = LINK_LOCAL.iter().any(|host| is_on(&uri, host));
                let stays = uri.starts_with("https://") || local;
                check.noted(&uri_at, if stays { Ok(uri) } else { Err("must be https, or an address of this machine") })
            });
        let token_file = check.file(&format!("{at}/tokenFile"), self.token_file);
        Some(AwsAuth::ContainerCredentials { full_uri: full_uri?, token_file: token_file? })
    }
}

impl RawStaticKeys {
    fn check(self, at: &str, check: &mut Check) -> Option<AwsAuth> {
        let access_key_id_file = check.file(&format!("{at}/accessKeyIdFile"), self.access_key_id_file);
        let secret_access_key_file = check.file(&format!("{at}/secretAccessKeyFile"), self.secret_access_key_file);
        Some(AwsAuth::StaticKeys {
            access_key_id_file: access_key_id_file?,
            secret_access_key_file: secret_access_key_file?,
        })
    }
}

/// Whether a checked address has this host.
fn is_on(uri: &str, host: &str) -> bool {
    let rest = uri.strip_prefix("http://").and_then(|rest| rest.strip_prefix(host));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
}

/// A region. It becomes part of a host name, so its characters are restricted.
fn region(at: &str, value: Option<String>, check: &mut Check) -> Option<String> {
    let region = check.text(at, value)?;
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = region.len() <= 63 && region.bytes().all(inner) && !region.starts_with('-') && !region.ends_with('-');
    check.noted(at, if good { Ok(region) } else { Err("must be a region such as eu-central-1") })
}

fn endpoint(at: &str, value: Option<String>, check: &mut Check) -> Option<String> {
    check.noted(at, address::check_server(value?))
}
