//! Gets the broker's credentials: of a role that its token may assume, from an agent on the node, or from files.

use super::responses::classify_error;
use super::sdk_error::convert_sdk_error;
use super::transport::Transport;
use crate::config::aws_secrets_manager::AwsAuth;
use crate::model::clock::{Clock as _, SystemClock};
use crate::model::request_id::RequestId;
use crate::model::secret::SecretValue;
use crate::stores::breaker::BreakerTarget;
use crate::stores::cloud_session::{CredentialSource, NewCredentials};
use crate::stores::credential_file;
use crate::stores::json_text::parse_object;
use crate::stores::port::ReadError;
use crate::stores::server_calls::{CallError, ServerCalls};
use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{Config, Credentials};
use aws_sdk_sts::Client as Sts;
use http::HeaderValue;
use jiff::Timestamp;
use serde::Deserialize;
use std::time::Duration;

/// Logins have a separate breaker.
const LOGIN: BreakerTarget<'static> = BreakerTarget::group("login/");

/// The requested lifetime of the credentials of an assumed role. Every role allows it.
const ROLE_SESSION_LIFETIME: Duration = Duration::from_hours(1);

/// A client of the SDK, and the credentials with which it signs requests.
pub struct SdkClient {
    pub(super) client: Client,
    credentials: Credentials,
}

/// The source of the broker's credentials at AWS.
pub struct AwsCredentials {
    auth: AwsAuth,
    sts: Sts,
    agent: Option<Transport>,
    /// The settings of the clients.
    config: Config,
}

impl AwsCredentials {
    /// `sts` is for roles, `agent` for the credentials of containers.
    pub(super) const fn new(auth: AwsAuth, sts: Sts, agent: Option<Transport>, config: Config) -> Self {
        Self { auth, sts, agent, config }
    }

    fn new_client(
        &self,
        NewCredentials { client: credentials, ttl }: NewCredentials<Credentials>,
    ) -> NewCredentials<SdkClient> {
        let config = self.config.to_builder().credentials_provider(credentials.clone()).build();
        NewCredentials { client: SdkClient { client: Client::from_conf(config), credentials }, ttl }
    }

    async fn credentials(
        &self,
        calls: &ServerCalls,
        has_logged_in_before: bool,
        request_id: &RequestId,
    ) -> Result<NewCredentials<Credentials>, ReadError> {
        match &self.auth {
            AwsAuth::StaticKeys { access_key_id_file, secret_access_key_file } => {
                let id = credential_file::read(&calls.store, access_key_id_file).await?;
                let secret = credential_file::read(&calls.store, secret_access_key_file).await?;
                if id.is_empty() || secret.is_empty() {
                    return Err(credential_file::log_unusable(&calls.store));
                }
                let credentials =
                    parse_static_keys(&id, &secret).ok_or_else(|| credential_file::log_unusable(&calls.store))?;
                Ok(NewCredentials { client: credentials, ttl: None })
            }
            AwsAuth::WebIdentity { role_arn, token_file, session_name, .. } => {
                let token = credential_file::read(&calls.store, token_file).await?;
                let call = assume_role(&self.sts, role_arn, session_name, &token);
                calls.log_in(LOGIN, has_logged_in_before, request_id, call).await
            }
            AwsAuth::ContainerCredentials { token_file, .. } => {
                let token = credential_file::read(&calls.store, token_file).await?;
                let header = authorization(&token).ok_or_else(|| credential_file::log_unusable(&calls.store))?;
                let agent = self.agent.as_ref().ok_or(ReadError::Misconfigured)?;
                calls.log_in(LOGIN, has_logged_in_before, request_id, request_agent_credentials(agent, header)).await
            }
        }
    }
}

#[async_trait]
impl CredentialSource for AwsCredentials {
    type Client = SdkClient;

    fn is_file_based(&self) -> bool {
        matches!(self.auth, AwsAuth::StaticKeys { .. })
    }

    fn are_equal(&self, previous: &SdkClient, fresh: &SdkClient) -> bool {
        previous.credentials == fresh.credentials
    }

    /// Fails with `Forbidden` if the broker's token is refused, and with `Misconfigured` for an invalid role. If a login has
    /// succeeded before, a refusal is `Unavailable`, because STS also refuses while it cannot reach the identity provider.
    async fn request_credentials(
        &self,
        calls: &ServerCalls,
        has_logged_in_before: bool,
        request_id: &RequestId,
    ) -> Result<NewCredentials<SdkClient>, ReadError> {
        Ok(self.new_client(self.credentials(calls, has_logged_in_before, request_id).await?))
    }
}

#[expect(clippy::disallowed_methods, reason = "requests are signed with it; the SDK's type overwrites it too")]
fn parse_static_keys(id: &SecretValue, secret: &SecretValue) -> Option<Credentials> {
    let id = id.expose_secret().trim();
    is_header_value(id).then(|| Credentials::new(id, secret.expose_secret().trim(), None, None, "file"))
}

/// Whether the text is a valid header value. The SDK puts it into a header, and would panic if it is not.
fn is_header_value(text: &str) -> bool {
    HeaderValue::from_str(text).is_ok()
}

#[expect(clippy::disallowed_methods, reason = "it is sent to the agent; the header is marked as sensitive")]
fn authorization(token: &SecretValue) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(token.expose_secret()).ok().filter(|_| !token.is_empty())?;
    header.set_sensitive(true);
    Some(header)
}

#[expect(clippy::disallowed_methods, reason = "the token is sent to STS")]
async fn assume_role(
    sts: &Sts,
    role: &str,
    session: &str,
    token: &SecretValue,
) -> Result<NewCredentials<Credentials>, CallError> {
    let call = sts
        .assume_role_with_web_identity()
        .role_arn(role)
        .role_session_name(session)
        .web_identity_token(token.expose_secret())
        .duration_seconds(i32::try_from(ROLE_SESSION_LIFETIME.as_secs()).unwrap_or(i32::MAX));
    let response = call.send().await.map_err(|error| convert_sdk_error(&error))?;
    let Some(granted) = response.credentials else { return Err(CallError::unusable(ReadError::Unavailable)) };
    let (id, secret, session) = (granted.access_key_id, granted.secret_access_key, granted.session_token);
    if !is_header_value(&id) || !is_header_value(&session) {
        return Err(CallError::unusable(ReadError::Unavailable));
    }
    Ok(NewCredentials {
        client: Credentials::new(id, secret, Some(session), None, "sts"),
        ttl: Some(ROLE_SESSION_LIFETIME),
    })
}

async fn request_agent_credentials(
    agent: &Transport,
    header: HeaderValue,
) -> Result<NewCredentials<Credentials>, CallError> {
    match agent.get(header).await.map_err(CallError::no_response)? {
        (200, body) => {
            parse_agent_credentials(&body, SystemClock.now()).ok_or(CallError::unusable(ReadError::Unavailable))
        }
        (status @ 400..=428, _) => Err(CallError::refused_with_status(status)),
        (status, _) => Err(CallError::from_response(status, classify_error(status, None, None), None)),
    }
}

/// Parses the credentials of an agent. `None` if they have expired or have no expiration.
fn parse_agent_credentials(body: &[u8], now: Timestamp) -> Option<NewCredentials<Credentials>> {
    /// The SDK's type takes ownership of these texts, and overwrites them on drop.
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        access_key_id: String,
        secret_access_key: String,
        token: String,
        expiration: String,
    }
    let Body { access_key_id, secret_access_key, token, expiration } = parse_object(body)?;
    let ttl = Duration::try_from(expiration.parse::<Timestamp>().ok()?.duration_since(now)).ok()?;
    let is_usable = !ttl.is_zero() && is_header_value(&access_key_id) && is_header_value(&token);
    let credentials = Credentials::new(access_key_id, secret_access_key, Some(token), None, "agent");
    is_usable.then_some(NewCredentials { client: credentials, ttl: Some(ttl) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_not_valid_header_values_are_refused() {
        let keys = |id: &str, secret: &str| {
            let keys = parse_static_keys(&SecretValue::new(id.into()), &SecretValue::new(secret.into()));
            keys.map(|keys| (keys.access_key_id().to_owned(), keys.secret_access_key().to_owned()))
        };
        let expected = Some(("AKIA".to_owned(), "s".to_owned()));
        assert_eq!(keys("AKIA", "s"), expected);
        assert_eq!(keys(" AKIA\r\n", "s \n"), expected);
        for id in ["AKIA\nX", "AKIA\u{0}"] {
            assert_eq!(keys(id, "s"), None, "{id:?}");
        }
    }

    #[test]
    fn expired_credentials_of_an_agent_are_refused() {
        let now = "2026-11-25T12:00:00Z".parse().unwrap();
        let response = |expiration: &str| {
            format!(
                r#"{{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":{expiration},"AccountId":"1"}}"#
            )
        };
        let ttl = |body: &str| parse_agent_credentials(body.as_bytes(), now).and_then(|granted| granted.ttl);
        assert_eq!(ttl(&response(r#""2026-11-25T18:00:00Z""#)), Some(Duration::from_hours(6)));
        for body in [
            &response(r#""2026-11-25T12:00:00Z""#),
            &response(r#""2026-11-25T11:00:00Z""#),
            &response(r#""tomorrow""#),
            &response("null"),
            &response("1790000000"),
            &response(r#""2026-11-25T18:00:00Z""#).replace(r#""T""#, r#""T\n""#),
            &response(r#""2026-11-25T18:00:00Z""#).replace(r#""A""#, r#""A\r\nX: y""#),
            r#"{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T"}"#,
            r#"{"AccessKeyId":"A","SecretAccessKey":"S","Expiration":"2026-11-25T18:00:00Z"}"#,
            r#"{"Code":"no"}"#,
            "[]",
            "",
        ] {
            assert_eq!(ttl(body), None, "{body}");
        }
    }
}
