//! Azure Key Vault, with Microsoft's SDK over our HTTP client.

mod api;
#[cfg(fuzzing)]
pub mod fuzzing;
mod responses;
mod tokens;
mod transport;

use super::cloud::CloudStore;
use super::outbound::ClientSettings;
use super::port::OpenError;
use crate::config::azure_key_vault::AzureKeyVault;
use crate::metrics::Metrics;
use crate::trust::TrustFiles;
use api::KeyVault;
use std::sync::Arc;
use tokens::AzureTokenSource;
use transport::AzureTransport;

/// The secrets of one vault.
pub(super) type AzureStore = CloudStore<KeyVault>;

/// Builds the clients. No call is made before the first read.
///
/// # Errors
/// An invalid configuration or an unusable CA file.
pub(super) fn open(name: &Arc<str>, config: &AzureKeyVault, metrics: &Arc<Metrics>) -> Result<AzureStore, OpenError> {
    let trust = TrustFiles { ca: config.ca_file.clone(), client: None };
    let server = ClientSettings {
        store: name,
        address: &config.vault_url,
        trust: &trust,
        proxy: config.proxy_url.as_deref(),
        timeout: config.timeout,
    };
    let vault = Arc::new(AzureTransport::open(&server, &config.scope)?);
    let authority =
        Arc::new(AzureTransport::open(&ClientSettings { address: &config.authority_url, ..server }, &config.scope)?);
    let token_source = AzureTokenSource::new(config, authority.clone(), vault.clone());
    Ok(CloudStore::new(name, token_source, KeyVault::new(config, vault, authority), metrics))
}
