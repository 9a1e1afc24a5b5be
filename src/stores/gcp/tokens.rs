//! Gets the broker's access token: in exchange for its ServiceAccount token, from the node's metadata server, or by signing a
//! token with a service account's key. All addresses are from the configuration.

use super::key_file::{self, SCOPE};
use super::responses::{classify_exchange_error, classify_iam_or_metadata_error, parse_impersonation, parse_token};
use crate::config::gcp_secret_manager::GcpAuth;
use crate::model::clock::{Clock as _, SystemClock};
use crate::model::request_id::RequestId;
use crate::model::secret::SecretValue;
use crate::stores::access_token::AccessToken;
use crate::stores::breaker::BreakerTarget;
use crate::stores::cloud_session::{CredentialSource, NewCredentials};
use crate::stores::credential_file;
use crate::stores::outbound::{HttpClient, StoreResponse, TransportError, read_body, retry_after};
use crate::stores::port::ReadError;
use crate::stores::server_calls::{CallError, ResponseMeaning, ServerCalls};
use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;
use std::time::Duration;

/// Each login server has a separate breaker.
const EXCHANGE: BreakerTarget<'static> = BreakerTarget::group("login/");
const IMPERSONATION: BreakerTarget<'static> = BreakerTarget::group("login/impersonation/");

/// The lifetime of an impersonated token, which every service account allows.
const IMPERSONATED_LIFETIME: &str = "3600s";

/// The header that a metadata server requires, and also sends.
const METADATA_FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");

/// The characters that are encoded in a form: all but the unreserved ones of RFC 3986, section 2.3.
const FORM_ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A source of access tokens.
pub struct GcpTokenSource {
    auth: GcpAuth,
    /// The clients for the exchange and the impersonation, or for the metadata server. Empty for a key file.
    logins: Arc<[HttpClient]>,
    timeout: Duration,
}

type TokenWithLifetime = (AccessToken, Duration);

impl GcpTokenSource {
    pub(super) const fn new(auth: GcpAuth, logins: Arc<[HttpClient]>, timeout: Duration) -> Self {
        Self { auth, logins, timeout }
    }

    /// Exchanges the ServiceAccount token for a token of the federated identity.
    async fn exchange(&self, url: &str, provider: &str, subject: &SecretValue) -> Result<TokenWithLifetime, CallError> {
        let http = self.logins.first().ok_or(CallError::not_sent(ReadError::Misconfigured))?;
        let message = http.request(Method::POST, &format!("{url}/v1/token"));
        let message =
            message.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(exchange_form(provider, subject));
        let response = http.send_and_read(message, true, self.timeout).await.map_err(CallError::no_response)?;
        token_or_error(&response, parse_token(&response.body), classify_exchange_error(response.status, &response.body))
    }

    /// Gets a token of the service account that the federated identity impersonates.
    async fn impersonate(
        &self,
        url: &str,
        account: &str,
        federated: &AccessToken,
    ) -> Result<TokenWithLifetime, CallError> {
        let http = self.logins.get(1).ok_or(CallError::not_sent(ReadError::Misconfigured))?;
        let url = format!("{url}/v1/projects/-/serviceAccounts/{account}:generateAccessToken");
        let body = format!(r#"{{"scope":["{SCOPE}"],"lifetime":"{IMPERSONATED_LIFETIME}"}}"#);
        let message = http.request(Method::POST, &url).header(AUTHORIZATION, federated.header());
        let message = message.header(CONTENT_TYPE, "application/json").body(body);
        let response = http.send_and_read(message, true, self.timeout).await.map_err(CallError::no_response)?;
        let token = parse_impersonation(&response.body, SystemClock.now());
        token_or_error(&response, token, classify_iam_or_metadata_error(response.status))
    }

    async fn request_from_metadata_server(&self, url: &str, account: &str) -> Result<TokenWithLifetime, CallError> {
        let http = self.logins.first().ok_or(CallError::not_sent(ReadError::Misconfigured))?;
        let url = format!("{url}/computeMetadata/v1/instance/service-accounts/{account}/token");
        let message = http.request(Method::GET, &url).header(METADATA_FLAVOR, "Google");
        let response = send_to_metadata_server(http, message, self.timeout).await.map_err(CallError::no_response)?;
        let (response, is_genuine) = response;
        let token = parse_token(&response.body).filter(|_| is_genuine);
        token_or_error(&response, token, classify_iam_or_metadata_error(response.status))
    }
}

#[async_trait]
impl CredentialSource for GcpTokenSource {
    type Client = AccessToken;

    async fn request_credentials(
        &self,
        calls: &ServerCalls,
        has_logged_in_before: bool,
        request_id: &RequestId,
    ) -> Result<NewCredentials<AccessToken>, ReadError> {
        let (token, ttl) = match &self.auth {
            GcpAuth::WorkloadIdentityFederation {
                provider,
                token_file,
                service_account,
                sts_url,
                iam_credentials_url,
            } => {
                let subject = credential_file::read(&calls.store, token_file).await?;
                if subject.is_empty() {
                    return Err(credential_file::log_unusable(&calls.store));
                }
                let exchange = self.exchange(sts_url, provider, &subject);
                let federated = calls.log_in(EXCHANGE, has_logged_in_before, request_id, exchange).await?;
                match service_account {
                    None => federated,
                    Some(account) => {
                        let impersonate = self.impersonate(iam_credentials_url, account, &federated.0);
                        calls.log_in(IMPERSONATION, has_logged_in_before, request_id, impersonate).await?
                    }
                }
            }
            GcpAuth::MetadataServer { service_account, endpoint_url } => {
                let call = self.request_from_metadata_server(endpoint_url, service_account);
                calls.log_in(EXCHANGE, has_logged_in_before, request_id, call).await?
            }
            GcpAuth::ServiceAccountKeyFile(file) => {
                let text = credential_file::read(&calls.store, file).await?;
                let signed = key_file::sign_token(&text, SystemClock.now());
                signed.ok_or_else(|| credential_file::log_unusable(&calls.store))?
            }
        };
        Ok(NewCredentials { client: token, ttl: Some(ttl) })
    }
}

/// The token, or the error of a response whose status is not 200.
fn token_or_error(
    response: &StoreResponse,
    token: Option<TokenWithLifetime>,
    error: ResponseMeaning,
) -> Result<TokenWithLifetime, CallError> {
    match response.status {
        200 => token.ok_or(CallError::unusable(ReadError::Unavailable)),
        status => Err(CallError::from_response(status, error, response.retry_after)),
    }
}

/// Sends a request. Returns the response, and whether it has the header of a metadata server.
async fn send_to_metadata_server(
    http: &HttpClient,
    message: reqwest::RequestBuilder,
    timeout: Duration,
) -> Result<(StoreResponse, bool), TransportError> {
    let mut response = http.send(message, true, timeout).await?;
    let is_genuine = response.headers().get(METADATA_FLAVOR).is_some_and(|value| value == "Google");
    let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
    Ok((StoreResponse { status, retry_after, body: read_body(&mut response).await? }, is_genuine))
}

/// The form of an exchange (RFC 8693). Its audience is the provider, not that of the ServiceAccount token.
#[expect(clippy::disallowed_methods, reason = "the token is sent to Google")]
fn exchange_form(provider: &str, subject: &SecretValue) -> Bytes {
    let urn = "urn:ietf:params:oauth";
    let audience = format!("//iam.googleapis.com/{provider}");
    let fields = [
        ("grant_type", format!("{urn}:grant-type:token-exchange")),
        ("requested_token_type", format!("{urn}:token-type:access_token")),
        ("subject_token_type", format!("{urn}:token-type:jwt")),
        ("scope", SCOPE.to_owned()),
        ("audience", audience),
    ];
    let mut form = String::with_capacity(1024 + 3 * subject.len());
    for (name, value) in &fields {
        form.push_str(name);
        form.push('=');
        form.extend(utf8_percent_encode(value, FORM_ENCODED));
        form.push('&');
    }
    form.push_str("subject_token=");
    form.extend(utf8_percent_encode(subject.expose_secret(), FORM_ENCODED));
    Bytes::from(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_an_exchange_has_the_provider_and_the_token() {
        let form = exchange_form(
            "projects/1/locations/global/workloadIdentityPools/a/providers/b",
            &SecretValue::new("a.b+c".into()),
        );
        let form = std::str::from_utf8(&form).unwrap();
        let expected = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
            &requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token\
            &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt\
            &scope=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform\
            &audience=%2F%2Fiam.googleapis.com%2Fprojects%2F1%2Flocations%2Fglobal%2FworkloadIdentityPools%2Fa%2Fproviders%2Fb\
            &subject_token=a.b%2Bc";
        assert_eq!(form, expected);
    }
}
