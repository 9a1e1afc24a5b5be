//! The read of a secret's current version.

use super::answers;
use super::tokens::Tokens;
use super::transport::{Exchange, KeyVaultTransport};
use crate::config::azure_key_vault::{AzureKeyVault, ExpiredSecrets};
use crate::config::secret_values::SecretValues;
use crate::model::clock::{Clock as _, SystemClock};
use crate::model::request_id::RequestId;
use crate::model::secret::Secret;
use crate::stores::calls::Meaning;
use crate::stores::cloud::{Cloud, Unreadable};
use crate::stores::names::Naming;
use crate::stores::outbound::{Answer, CallFault};
use crate::stores::path::StorePath;
use crate::stores::port::OpenFault;
use async_trait::async_trait;
use azure_core::http::{ClientMethodOptions, Context};
use azure_security_keyvault_secrets::SecretClient;
use azure_security_keyvault_secrets::models::SecretClientGetSecretOptions;
use std::sync::Arc;

/// One vault.
pub struct KeyVault {
    values: SecretValues,
    expired: ExpiredSecrets,
    vault: Arc<KeyVaultTransport>,
    authority: Arc<KeyVaultTransport>,
}

impl KeyVault {
    pub(super) const fn new(
        config: &AzureKeyVault,
        vault: Arc<KeyVaultTransport>,
        authority: Arc<KeyVaultTransport>,
    ) -> Self {
        Self { values: config.values, expired: config.expired, vault, authority }
    }
}

#[async_trait]
impl Cloud for KeyVault {
    type Source = Tokens;

    const NAMING: Naming = Naming::AzureKeyVault;

    async fn get(&self, client: &SecretClient, name: &str, request: &RequestId) -> Result<Answer, CallFault> {
        // Key Vault's diagnostic log shows the user agent.
        let exchange = Exchange::new(&format!("claviger-{request}"));
        let method_options = ClientMethodOptions { context: Context::new().with_value(exchange.clone()) };
        let options = SecretClientGetSecretOptions { method_options, ..SecretClientGetSecretOptions::default() };
        // The answer, and why there is none, stay in the exchange. Boxed, because the future of a call is large.
        let _ = Box::pin(client.get_secret(name, Some(options))).await;
        exchange.take().unwrap_or(Err(CallFault::Broken))
    }

    fn refusal(&self, answer: &Answer) -> Meaning {
        answers::refusal(answer.status, &answer.body)
    }

    fn secret(&self, body: &[u8], name: &str, path: &StorePath) -> Result<Secret, Unreadable> {
        let read = answers::secret(body, name, self.values, path)?;
        Ok(read.if_valid_now(self.expired, SystemClock.now())?)
    }

    fn reload(&self) -> Result<(), OpenFault> {
        self.vault.reload()?;
        self.authority.reload()
    }
}
