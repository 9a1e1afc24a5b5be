//! Gets the broker's access token from Microsoft Entra ID, for the configured scope. A credential of the SDK is made for each
//! login, so that files are read again and no token stays in a cache that cannot be told to drop it.

use super::answers::{granted, login_refusal};
use super::transport::{Exchange, KeyVaultTransport};
use crate::config::azure_key_vault::{AzureAuth, AzureKeyVault};
use crate::metrics::labels::StoreOperation;
use crate::model::clock::{Clock as _, SystemClock};
use crate::model::request_id::RequestId;
use crate::model::secret::SecretValue;
use crate::stores::breaker::Target;
use crate::stores::calls::{CallFailure, Calls};
use crate::stores::credential_file;
use crate::stores::port::ReadError;
use crate::stores::session::{CredentialSource, Granted};
use async_trait::async_trait;
use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::http::{ClientMethodOptions, ClientOptions, Context, RetryOptions};
use azure_core::time::OffsetDateTime;
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions,
};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Logins have a breaker of their own.
const LOGIN: Target<'static> = Target::group("login/");

/// A source of access tokens, and of clients that use them.
pub struct Tokens {
    auth: AzureAuth,
    vault_url: String,
    authority_url: String,
    scope: String,
    authority: Arc<KeyVaultTransport>,
    vault: Arc<KeyVaultTransport>,
}

impl Tokens {
    pub(super) fn new(
        config: &AzureKeyVault,
        authority: Arc<KeyVaultTransport>,
        vault: Arc<KeyVaultTransport>,
    ) -> Self {
        Self {
            auth: config.auth.clone(),
            vault_url: config.vault_url.clone(),
            authority_url: config.authority_url.clone(),
            scope: config.scope.clone(),
            authority,
            vault,
        }
    }

    /// Without retries, and with the cloud written out: the SDK would take its authority from the environment.
    fn client_options(&self, wire: &Arc<KeyVaultTransport>) -> ClientOptions {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host.clone_from(&self.authority_url);
        ClientOptions {
            retry: RetryOptions::none(),
            transport: Some(wire.transport()),
            cloud: Some(Arc::new(cloud.into())),
            ..ClientOptions::default()
        }
    }

    /// The credential of one login.
    #[expect(clippy::disallowed_methods, reason = "Entra ID has it checked; the SDK's types have no Debug of it")]
    fn credential(&self, shown: &SecretValue) -> Option<Arc<dyn TokenCredential>> {
        let client_options = self.client_options(&self.authority);
        match &self.auth {
            AzureAuth::WorkloadIdentity { tenant_id, client_id, .. } => {
                let (tenant, client) = (tenant_id.clone(), client_id.clone());
                let options = ClientAssertionCredentialOptions { client_options };
                let assertion = ServiceAccountToken(shown.clone());
                let credential = ClientAssertionCredential::new(tenant, client, assertion, Some(options)).ok()?;
                Some(credential)
            }
            AzureAuth::ClientSecret { tenant_id, client_id, .. } => {
                let secret = Secret::new(shown.expose_secret().to_owned());
                let options = ClientSecretCredentialOptions { client_options };
                let credential =
                    ClientSecretCredential::new(tenant_id, client_id.clone(), secret, Some(options)).ok()?;
                Some(credential)
            }
        }
    }

    /// One login: the token and its lifetime.
    async fn log_in(&self, shown: &SecretValue, request: &RequestId) -> Result<(SecretValue, Duration), CallFailure> {
        let credential = self.credential(shown).ok_or(CallFailure::unsent())?;
        let exchange = Exchange::new(&format!("claviger-{request}"));
        let method_options = ClientMethodOptions { context: Context::new().with_value(exchange.clone()) };
        // The answer, and why there is none, stay in the exchange.
        let options = TokenRequestOptions { method_options };
        let _ = credential.get_token(&[self.scope.as_str()], Some(options)).await;
        let answer = exchange.take().ok_or(CallFailure::unsent())?.map_err(CallFailure::by)?;
        match answer.status {
            200 => granted(&answer.body).ok_or(CallFailure::decoding(ReadError::Unavailable)),
            status => Err(CallFailure::answered(status, login_refusal(status, &answer.body), answer.retry_after)),
        }
    }

    /// A client for one token. It asks for its scope at first, which `transport` answers.
    #[expect(clippy::disallowed_methods, reason = "the SDK puts it into a header; its type has no Debug of it")]
    fn client(&self, token: &SecretValue, ttl: Duration) -> Option<SecretClient> {
        let ends = SystemClock.now().as_second().checked_add(i64::try_from(ttl.as_secs()).ok()?)?;
        let ends = OffsetDateTime::from_unix_timestamp(ends).ok()?;
        let token = OneToken(AccessToken::new(Secret::new(token.expose_secret().to_owned()), ends));
        let options = SecretClientOptions {
            client_options: self.client_options(&self.vault),
            // The challenge is ours.
            verify_challenge_resource: Some(false),
            ..SecretClientOptions::default()
        };
        SecretClient::new(&self.vault_url, Arc::new(token), Some(options)).ok()
    }
}

#[async_trait]
impl CredentialSource for Tokens {
    type Client = SecretClient;

    async fn ask(
        &self,
        calls: &Calls,
        has_worked: bool,
        request: &RequestId,
    ) -> Result<Granted<SecretClient>, ReadError> {
        let (AzureAuth::WorkloadIdentity { token_file: file, .. }
        | AzureAuth::ClientSecret { client_secret_file: file, .. }) = &self.auth;
        let shown = credential_file::read(&calls.store, file).await?;
        if shown.is_empty() {
            return Err(credential_file::unusable(&calls.store));
        }
        let asked = async { self.log_in(&shown, request).await.map_err(|failed| failed.of_login(has_worked)) };
        let call = Box::pin(calls.make(StoreOperation::Login, LOGIN, request, asked));
        let (token, ttl) = call.await.map_err(|failed| failed.error)?;
        let client = self.client(&token, ttl).ok_or(ReadError::Unavailable)?;
        Ok(Granted { client, ttl: Some(ttl) })
    }
}

/// The broker's token as the SDK asks for it.
struct ServiceAccountToken(SecretValue);

impl fmt::Debug for ServiceAccountToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceAccountToken")
    }
}

#[async_trait]
impl ClientAssertion for ServiceAccountToken {
    #[expect(clippy::disallowed_methods, reason = "Entra ID has this token checked")]
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.expose_secret().to_owned())
    }
}

/// A token that is there already, whatever scope is asked for.
struct OneToken(AccessToken);

impl fmt::Debug for OneToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneToken")
    }
}

#[async_trait]
impl TokenCredential for OneToken {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        Ok(self.0.clone())
    }
}
