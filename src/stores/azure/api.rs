//! Reads the current version of a secret.

use super::responses;
use super::tokens::AzureTokenSource;
use super::transport::{AzureTransport, Exchange};
use crate::config::azure_key_vault::{AzureKeyVault, ExpiredSecrets};
use crate::config::value_format::ValueFormat;
use crate::model::clock::{Clock as _, SystemClock};
use crate::model::request_id::RequestId;
use crate::model::secret::Secret;
use crate::stores::cloud::{Cloud, MISSING_SECRET};
use crate::stores::outbound::{StoreResponse, TransportError};
use crate::stores::port::OpenError;
use crate::stores::secret_names::SecretNaming;
use crate::stores::server_calls::CallError;
use crate::stores::store_path::StorePath;
use async_trait::async_trait;
use azure_core::http::{ClientMethodOptions, Context};
use azure_security_keyvault_secrets::SecretClient;
use azure_security_keyvault_secrets::models::SecretClientGetSecretOptions;
use std::sync::Arc;

/// The API of one vault.
pub struct KeyVault {
    values: ValueFormat,
    expired: ExpiredSecrets,
    vault: Arc<AzureTransport>,
    authority: Arc<AzureTransport>,
}

impl KeyVault {
    pub(super) const fn new(
        config: &AzureKeyVault,
        vault: Arc<AzureTransport>,
        authority: Arc<AzureTransport>,
    ) -> Self {
        Self { values: config.values, expired: config.expired, vault, authority }
    }

    /// Reads a secret, and returns the response.
    async fn get(&self, client: &SecretClient, name: &str, request_id: &RequestId) -> Result<StoreResponse, CallError> {
        // Key Vault's diagnostic log shows the user agent.
        let exchange = Exchange::new(&format!("claviger-{request_id}"));
        let method_options = ClientMethodOptions { context: Context::new().with_value(exchange.clone()) };
        let options = SecretClientGetSecretOptions { method_options, ..SecretClientGetSecretOptions::default() };
        // The result is ignored: the exchange has the response or the error. Boxed, because the future of a call is large.
        let _ = Box::pin(client.get_secret(name, Some(options))).await;
        let response = exchange.take().unwrap_or(Err(TransportError::Broken)).map_err(CallError::no_response)?;
        CallError::check_status(response, responses::classify_error)
    }
}

#[async_trait]
impl Cloud for KeyVault {
    type Source = AzureTokenSource;

    const NAMING: SecretNaming = SecretNaming::AzureKeyVault;

    async fn read(
        &self,
        client: &SecretClient,
        name: &str,
        path: &StorePath,
        request_id: &RequestId,
    ) -> Result<Secret, CallError> {
        let response = self.get(client, name, request_id).await?;
        let dated = responses::parse_secret(&response.body, name, self.values, path).map_err(CallError::unusable)?;
        dated.if_valid_now(self.expired, SystemClock.now()).map_err(CallError::unusable)
    }

    async fn look_up_missing_secret(&self, client: &SecretClient, request_id: &RequestId) -> Result<(), CallError> {
        self.get(client, MISSING_SECRET, request_id).await.map(|_| ())
    }

    fn reload(&self) -> Result<(), OpenError> {
        self.vault.reload()?;
        self.authority.reload()
    }
}
