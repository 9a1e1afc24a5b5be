//! Azure Key Vault, through Microsoft's own SDK over our own HTTP client.

mod answers;
mod api;
#[cfg(fuzzing)]
pub mod fuzzing;
mod tokens;
mod transport;

use super::cloud::CloudStore;
use super::outbound::Server;
use super::port::OpenFault;
use crate::config::azure_key_vault::AzureKeyVault;
use crate::metrics::Metrics;
use crate::trust::TrustFiles;
use api::KeyVault;
use std::sync::Arc;
use tokens::Tokens;
use transport::KeyVaultTransport;

/// The secrets of one vault.
pub(super) type AzureStore = CloudStore<KeyVault>;

/// Builds the clients. No call is made before the first read.
///
/// # Errors
/// An invalid configuration or an unusable CA file.
pub(super) fn open(name: &Arc<str>, config: &AzureKeyVault, metrics: &Arc<Metrics>) -> Result<AzureStore, OpenFault> {
    let trust = TrustFiles { ca: config.ca_file.clone(), client: None };
    let server = Server {
        store: name,
        address: &config.vault_url,
        trust: &trust,
        proxy: config.proxy_url.as_deref(),
        timeout: config.timeout,
    };
    let vault = Arc::new(KeyVaultTransport::open(&server, &config.scope)?);
    let authority =
        Arc::new(KeyVaultTransport::open(&Server { address: &config.authority_url, ..server }, &config.scope)?);
    let source = Tokens::new(config, authority.clone(), vault.clone());
    Ok(CloudStore::new(name, source, KeyVault::new(config, vault, authority), metrics))
}
