//! AWS Secrets Manager, with AWS's SDK over our HTTP client.

mod api;
mod credentials;
mod responses;
mod sdk_error;
mod transport;

use super::cloud::CloudStore;
use super::outbound::ClientSettings;
use super::port::OpenError;
use crate::config::aws_secrets_manager::{AwsAuth, AwsSecretsManager};
use crate::metrics::Metrics;
use crate::trust::TrustFiles;
use api::SecretsManager;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Config, IdentityCache, Region, StalledStreamProtectionConfig};
use credentials::AwsCredentials;
use std::sync::Arc;
use transport::Transport;

/// The secrets of one region.
pub(super) type AwsStore = CloudStore<SecretsManager>;

/// Builds the clients. No call is made before the first read.
///
/// # Errors
/// An invalid configuration or an unusable CA file.
pub(super) fn open(name: &Arc<str>, config: &AwsSecretsManager, metrics: &Arc<Metrics>) -> Result<AwsStore, OpenError> {
    let sts_url = match &config.auth {
        AwsAuth::WebIdentity { sts_endpoint_url, .. } => sts_endpoint_url.as_deref(),
        AwsAuth::ContainerCredentials { .. } | AwsAuth::StaticKeys { .. } => None,
    };
    let trust = TrustFiles { ca: config.ca_file.clone(), client: None };
    let server = ClientSettings {
        store: name,
        address: "https://amazonaws.com",
        trust: &trust,
        proxy: config.proxy_url.as_deref(),
        timeout: config.timeout,
    };
    let open_transport = |address: Option<&str>| {
        Transport::open(&ClientSettings { address: address.unwrap_or(server.address), ..server })
    };
    let (transport, sts_transport) = (open_transport(config.endpoint_url.as_deref())?, open_transport(sts_url)?);
    let agent = match &config.auth {
        AwsAuth::ContainerCredentials { full_uri, .. } => {
            let agent = ClientSettings { address: full_uri, trust: &TrustFiles::default(), proxy: None, ..server };
            Some(Transport::open(&agent)?)
        }
        AwsAuth::WebIdentity { .. } | AwsAuth::StaticKeys { .. } => None,
    };
    let sts = sts_client(config, sts_url, &sts_transport);
    let source = AwsCredentials::new(config.auth.clone(), sts, agent, secrets_manager_config(config, &transport));
    Ok(CloudStore::new(name, source, SecretsManager { transport, sts_transport }, metrics))
}

/// The settings of the SDK: without retries and time-outs, because the transport has a time limit.
fn secrets_manager_config(config: &AwsSecretsManager, transport: &Transport) -> Config {
    let mut builder = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(config.region.clone()))
        .http_client(transport.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .identity_cache(IdentityCache::no_cache());
    builder.set_endpoint_url(config.endpoint_url.clone());
    builder.build()
}

fn sts_client(config: &AwsSecretsManager, endpoint_url: Option<&str>, transport: &Transport) -> aws_sdk_sts::Client {
    let mut builder = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(config.region.clone()))
        .http_client(transport.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .identity_cache(IdentityCache::no_cache());
    builder.set_endpoint_url(endpoint_url.map(str::to_owned));
    aws_sdk_sts::Client::from_conf(builder.build())
}
