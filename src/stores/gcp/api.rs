//! Reads the newest version of a secret.

use super::responses::{self, SecretParseError};
use super::tokens::GcpTokenSource;
use crate::config::gcp_secret_manager::GcpSecretManager;
use crate::config::value_format::ValueFormat;
use crate::model::request_id::RequestId;
use crate::model::secret::Secret;
use crate::stores::access_token::AccessToken;
use crate::stores::cloud::{Cloud, MISSING_SECRET};
use crate::stores::outbound::{HttpClient, StoreResponse};
use crate::stores::port::OpenError;
use crate::stores::secret_names::SecretNaming;
use crate::stores::server_calls::CallError;
use crate::stores::store_path::StorePath;
use async_trait::async_trait;
use http::Method;
use http::header::{AUTHORIZATION, USER_AGENT};
use std::sync::Arc;
use std::time::Duration;

/// The API of one project, in one location or globally.
pub struct SecretManager {
    /// The URL below which secrets are, with a slash at its end.
    secrets: String,
    values: ValueFormat,
    timeout: Duration,
    http: HttpClient,
    /// The clients of the logins, only to reload their certificates.
    logins: Arc<[HttpClient]>,
}

impl SecretManager {
    pub(super) fn new(config: &GcpSecretManager, http: HttpClient, logins: Arc<[HttpClient]>) -> Self {
        let location = config.location.as_ref().map_or_else(String::new, |location| format!("/locations/{location}"));
        let secrets = format!("{}/v1/projects/{}{location}/secrets/", config.endpoint_url, config.project);
        Self { secrets, values: config.values, timeout: config.timeout, http, logins }
    }

    /// Reads a secret, and returns the response. Names have only characters that need no encoding in a URL.
    async fn get(&self, token: &AccessToken, name: &str, request_id: &RequestId) -> Result<StoreResponse, CallError> {
        let url = format!("{}{name}/versions/latest:access", self.secrets);
        let message = self.http.request(Method::GET, &url).header(AUTHORIZATION, token.header());
        // The project's audit logs show the user agent.
        let message = message.header(USER_AGENT, format!("claviger-{request_id}"));
        let response = self.http.send_and_read(message, true, self.timeout).await.map_err(CallError::no_response)?;
        CallError::check_status(response, responses::classify_error)
    }
}

#[async_trait]
impl Cloud for SecretManager {
    type Source = GcpTokenSource;

    const NAMING: SecretNaming = SecretNaming::GcpSecretManager;

    /// If the data has a wrong checksum, the read is repeated once.
    async fn read(
        &self,
        token: &AccessToken,
        name: &str,
        path: &StorePath,
        request_id: &RequestId,
    ) -> Result<Secret, CallError> {
        let first = self.get(token, name, request_id).await?;
        let result = match responses::parse_secret(&first.body, name, self.values, path) {
            Err(SecretParseError::WrongChecksum) => {
                let second = self.get(token, name, request_id).await?;
                responses::parse_secret(&second.body, name, self.values, path)
            }
            result => result,
        };
        result.map_err(|error| CallError::unusable(error.into()))
    }

    async fn look_up_missing_secret(&self, token: &AccessToken, request_id: &RequestId) -> Result<(), CallError> {
        self.get(token, MISSING_SECRET, request_id).await.map(|_| ())
    }

    fn reload(&self) -> Result<(), OpenError> {
        self.http.reload()?;
        self.logins.iter().try_for_each(HttpClient::reload)
    }
}
