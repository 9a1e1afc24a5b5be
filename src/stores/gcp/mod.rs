//! Google Secret Manager, without an SDK: Google's crates cannot use our HTTP client, read bodies of any size, follow
//! redirects, use proxies of the environment, and print payloads in `Debug`.

mod api;
#[cfg(fuzzing)]
pub mod fuzzing;
mod key_file;
mod responses;
mod tokens;

use super::cloud::CloudStore;
use super::outbound::{ClientSettings, HttpClient};
use super::port::OpenError;
use crate::config::gcp_secret_manager::{GcpAuth, GcpSecretManager};
use crate::metrics::Metrics;
use crate::trust::TrustFiles;
use api::SecretManager;
use std::sync::Arc;
use tokens::GcpTokenSource;

/// The secrets of one project.
pub(super) type GcpStore = CloudStore<SecretManager>;

/// Builds the clients. No call is made before the first read.
///
/// # Errors
/// An invalid configuration or an unusable CA file.
pub(super) fn open(name: &Arc<str>, config: &GcpSecretManager, metrics: &Arc<Metrics>) -> Result<GcpStore, OpenError> {
    let trust = TrustFiles { ca: config.ca_file.clone(), client: None };
    let server = ClientSettings {
        store: name,
        address: &config.endpoint_url,
        trust: &trust,
        proxy: config.proxy_url.as_deref(),
        timeout: config.timeout,
    };
    let api = HttpClient::open(&server)?;
    let none = TrustFiles::default();
    let logins = match &config.auth {
        GcpAuth::WorkloadIdentityFederation { sts_url, iam_credentials_url, .. } => {
            let exchange = HttpClient::open(&ClientSettings { address: sts_url, ..server })?;
            vec![exchange, HttpClient::open(&ClientSettings { address: iam_credentials_url, ..server })?]
        }
        // The metadata server is on the node, so no proxy is used.
        GcpAuth::MetadataServer { endpoint_url, .. } => {
            vec![HttpClient::open(&ClientSettings { address: endpoint_url, trust: &none, proxy: None, ..server })?]
        }
        GcpAuth::ServiceAccountKeyFile(_) => Vec::new(),
    };
    let logins: Arc<[HttpClient]> = logins.into();
    let token_source = GcpTokenSource::new(config.auth.clone(), logins.clone(), config.timeout);
    Ok(CloudStore::new(name, token_source, SecretManager::new(config, api, logins), metrics))
}
