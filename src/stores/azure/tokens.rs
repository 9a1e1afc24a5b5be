//! Gets the broker's access token from Microsoft Entra ID, for the configured scope. Each login creates a new credential of the
//! SDK, so that files are read again, and because the token cache of a credential cannot be cleared.

use super::responses::{classify_login_error, parse_token};
use super::transport::{AzureTransport, Exchange};
use crate::config::azure_key_vault::{AzureAuth, AzureKeyVault};
use crate::model::clock::{Clock as _, SystemClock};
use crate::model::request_id::RequestId;
use crate::model::secret::SecretValue;
use crate::stores::breaker::BreakerTarget;
use crate::stores::cloud_session::{CredentialSource, NewCredentials};
use crate::stores::credential_file;
use crate::stores::port::ReadError;
use crate::stores::server_calls::{CallError, ServerCalls};
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

/// Logins have a separate breaker.
const LOGIN: BreakerTarget<'static> = BreakerTarget::group("login/");

/// A source of access tokens, and of clients that use them.
pub struct AzureTokenSource {
    auth: AzureAuth,
    vault_url: String,
    authority_url: String,
    scope: String,
    authority_transport: Arc<AzureTransport>,
    vault_transport: Arc<AzureTransport>,
}

impl AzureTokenSource {
    pub(super) fn new(config: &AzureKeyVault, authority: Arc<AzureTransport>, vault: Arc<AzureTransport>) -> Self {
        Self {
            auth: config.auth.clone(),
            vault_url: config.vault_url.clone(),
            authority_url: config.authority_url.clone(),
            scope: config.scope.clone(),
            authority_transport: authority,
            vault_transport: vault,
        }
    }

    /// Options without retries, and with an explicit authority, which the SDK would otherwise read from the environment.
    fn client_options(&self, transport: &Arc<AzureTransport>) -> ClientOptions {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host.clone_from(&self.authority_url);
        ClientOptions {
            retry: RetryOptions::none(),
            transport: Some(transport.as_sdk_transport()),
            cloud: Some(Arc::new(cloud.into())),
            ..ClientOptions::default()
        }
    }

    /// The credential of one login.
    #[expect(clippy::disallowed_methods, reason = "it is sent to Entra ID; the SDK's types do not show it in Debug")]
    fn credential(&self, broker_credential: &SecretValue) -> Option<Arc<dyn TokenCredential>> {
        let client_options = self.client_options(&self.authority_transport);
        match &self.auth {
            AzureAuth::WorkloadIdentity { tenant_id, client_id, .. } => {
                let (tenant, client) = (tenant_id.clone(), client_id.clone());
                let options = ClientAssertionCredentialOptions { client_options };
                let assertion = ServiceAccountToken(broker_credential.clone());
                let credential = ClientAssertionCredential::new(tenant, client, assertion, Some(options)).ok()?;
                Some(credential)
            }
            AzureAuth::ClientSecret { tenant_id, client_id, .. } => {
                let secret = Secret::new(broker_credential.expose_secret().to_owned());
                let options = ClientSecretCredentialOptions { client_options };
                let credential =
                    ClientSecretCredential::new(tenant_id, client_id.clone(), secret, Some(options)).ok()?;
                Some(credential)
            }
        }
    }

    /// Logs in. Returns the token and its lifetime.
    async fn log_in(
        &self,
        broker_credential: &SecretValue,
        request_id: &RequestId,
    ) -> Result<(SecretValue, Duration), CallError> {
        let credential = self.credential(broker_credential).ok_or(CallError::not_sent(ReadError::Misconfigured))?;
        let exchange = Exchange::new(&format!("claviger-{request_id}"));
        let method_options = ClientMethodOptions { context: Context::new().with_value(exchange.clone()) };
        let options = TokenRequestOptions { method_options };
        // The result is ignored: the exchange has the response or the error.
        let _ = credential.get_token(&[self.scope.as_str()], Some(options)).await;
        let response =
            exchange.take().ok_or(CallError::not_sent(ReadError::Misconfigured))?.map_err(CallError::no_response)?;
        match response.status {
            200 => parse_token(&response.body).ok_or(CallError::unusable(ReadError::Unavailable)),
            status => Err(CallError::from_response(
                status,
                classify_login_error(status, &response.body),
                response.retry_after,
            )),
        }
    }

    /// A client with a fixed token. The SDK sends its first request without a token; [`super::transport`] answers that request
    /// itself, with a challenge.
    #[expect(clippy::disallowed_methods, reason = "the SDK puts it into a header; its type does not show it in Debug")]
    fn client(&self, token: &SecretValue, ttl: Duration) -> Option<SecretClient> {
        let expires_at = SystemClock.now().as_second().checked_add(i64::try_from(ttl.as_secs()).ok()?)?;
        let expires_at = OffsetDateTime::from_unix_timestamp(expires_at).ok()?;
        let token = FixedToken(AccessToken::new(Secret::new(token.expose_secret().to_owned()), expires_at));
        let options = SecretClientOptions {
            client_options: self.client_options(&self.vault_transport),
            // The challenge comes from `transport`, not from the server.
            verify_challenge_resource: Some(false),
            ..SecretClientOptions::default()
        };
        SecretClient::new(&self.vault_url, Arc::new(token), Some(options)).ok()
    }
}

#[async_trait]
impl CredentialSource for AzureTokenSource {
    type Client = SecretClient;

    async fn request_credentials(
        &self,
        calls: &ServerCalls,
        has_logged_in_before: bool,
        request_id: &RequestId,
    ) -> Result<NewCredentials<SecretClient>, ReadError> {
        let (AzureAuth::WorkloadIdentity { token_file: file, .. }
        | AzureAuth::ClientSecret { client_secret_file: file, .. }) = &self.auth;
        let broker_credential = credential_file::read(&calls.store, file).await?;
        if broker_credential.is_empty() {
            return Err(credential_file::log_unusable(&calls.store));
        }
        let login = self.log_in(&broker_credential, request_id);
        let (token, ttl) = calls.log_in(LOGIN, has_logged_in_before, request_id, login).await?;
        let client = self.client(&token, ttl).ok_or(ReadError::Unavailable)?;
        Ok(NewCredentials { client, ttl: Some(ttl) })
    }
}

/// The broker's `ServiceAccount` token, as the SDK's client assertion.
struct ServiceAccountToken(SecretValue);

impl fmt::Debug for ServiceAccountToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceAccountToken")
    }
}

#[async_trait]
impl ClientAssertion for ServiceAccountToken {
    #[expect(clippy::disallowed_methods, reason = "the token is sent to Entra ID")]
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.expose_secret().to_owned())
    }
}

/// Returns the token of a login, for every scope that the SDK requests.
struct FixedToken(AccessToken);

impl fmt::Debug for FixedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FixedToken")
    }
}

#[async_trait]
impl TokenCredential for FixedToken {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        Ok(self.0.clone())
    }
}
