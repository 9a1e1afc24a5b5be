//! The read of a secret's newest version.

use super::answers;
use super::tokens::Tokens;
use crate::config::gcp_secret_manager::GcpSecretManager;
use crate::config::secret_values::SecretValues;
use crate::model::request_id::RequestId;
use crate::model::secret::Secret;
use crate::stores::access_token::AccessToken;
use crate::stores::calls::Meaning;
use crate::stores::cloud::{Cloud, Unreadable};
use crate::stores::names::Naming;
use crate::stores::outbound::{Answer, CallFault, Outbound};
use crate::stores::path::StorePath;
use crate::stores::port::OpenFault;
use async_trait::async_trait;
use http::Method;
use http::header::{AUTHORIZATION, USER_AGENT};
use std::sync::Arc;
use std::time::Duration;

/// The API of one project, in one location or globally.
pub struct SecretManager {
    /// The URL below which secrets are, with a slash at its end.
    secrets: String,
    values: SecretValues,
    timeout: Duration,
    http: Outbound,
    /// The clients of the logins, whose certificates are read again with the API's.
    logins: Arc<[Outbound]>,
}

impl SecretManager {
    pub(super) fn new(config: &GcpSecretManager, http: Outbound, logins: Arc<[Outbound]>) -> Self {
        let location = config.location.as_ref().map_or_else(String::new, |location| format!("/locations/{location}"));
        let secrets = format!("{}/v1/projects/{}{location}/secrets/", config.endpoint_url, config.project);
        Self { secrets, values: config.values, timeout: config.timeout, http, logins }
    }
}

#[async_trait]
impl Cloud for SecretManager {
    type Source = Tokens;

    const NAMING: Naming = Naming::GcpSecretManager;

    /// A name has only characters that need no encoding in a URL.
    async fn get(&self, token: &AccessToken, name: &str, request: &RequestId) -> Result<Answer, CallFault> {
        let url = format!("{}{name}/versions/latest:access", self.secrets);
        let message = self.http.request(Method::GET, &url).header(AUTHORIZATION, token.header());
        // The audit logs of the project show it.
        let message = message.header(USER_AGENT, format!("claviger-{request}"));
        self.http.answer(message, true, self.timeout).await
    }

    fn refusal(&self, answer: &Answer) -> Meaning {
        answers::refusal(answer.status, &answer.body)
    }

    fn secret(&self, body: &[u8], name: &str, path: &StorePath) -> Result<Secret, Unreadable> {
        answers::secret(body, name, self.values, path)
    }

    fn reload(&self) -> Result<(), OpenFault> {
        self.http.reload()?;
        self.logins.iter().try_for_each(Outbound::reload)
    }
}
