//! Gets the broker's access token: an exchange of its ServiceAccount token, the node's metadata server, or a token that it
//! signs with a service account's key. All addresses are those of the configuration.

use super::answers::{exchange_refusal, granted, impersonated, token_refusal};
use super::key_file::{self, SCOPE};
use crate::config::gcp_secret_manager::GcpAuth;
use crate::metrics::labels::StoreOperation;
use crate::model::clock::{Clock as _, SystemClock};
use crate::model::request_id::RequestId;
use crate::model::secret::SecretValue;
use crate::stores::access_token::AccessToken;
use crate::stores::breaker::Target;
use crate::stores::calls::{CallFailure, Calls, Meaning};
use crate::stores::credential_file;
use crate::stores::outbound::{Answer, CallFault, Outbound, read_body, retry_after};
use crate::stores::port::ReadError;
use crate::stores::session::{CredentialSource, Granted};
use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;
use std::time::Duration;

/// Each login server has a breaker of its own.
const EXCHANGE: Target<'static> = Target::group("login/");
const IMPERSONATION: Target<'static> = Target::group("login/impersonation/");

/// The lifetime of an impersonated token, which every service account allows.
const IMPERSONATED: &str = "3600s";

/// What a metadata server asks for, and answers with.
const METADATA_FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");

/// Characters that a form does not encode (RFC 3986, section 2.3).
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A source of access tokens.
pub struct Tokens {
    auth: GcpAuth,
    /// The exchange and the impersonation, or the metadata server, or none.
    logins: Arc<[Outbound]>,
    timeout: Duration,
}

type Token = (AccessToken, Duration);

impl Tokens {
    pub(super) const fn new(auth: GcpAuth, logins: Arc<[Outbound]>, timeout: Duration) -> Self {
        Self { auth, logins, timeout }
    }

    /// The token of the federated identity.
    async fn exchange(&self, url: &str, provider: &str, subject: &SecretValue) -> Result<Token, CallFailure> {
        let http = self.logins.first().ok_or(CallFailure::unsent())?;
        let message = http.request(Method::POST, &format!("{url}/v1/token"));
        let message = message.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form(provider, subject));
        let answer = http.answer(message, true, self.timeout).await.map_err(CallFailure::by)?;
        read(&answer, granted(&answer.body), exchange_refusal(answer.status, &answer.body))
    }

    /// The token of a service account that the federated identity may impersonate.
    async fn impersonate(&self, url: &str, account: &str, federated: &AccessToken) -> Result<Token, CallFailure> {
        let http = self.logins.get(1).ok_or(CallFailure::unsent())?;
        let url = format!("{url}/v1/projects/-/serviceAccounts/{account}:generateAccessToken");
        let body = format!(r#"{{"scope":["{SCOPE}"],"lifetime":"{IMPERSONATED}"}}"#);
        let message = http.request(Method::POST, &url).header(AUTHORIZATION, federated.header());
        let message = message.header(CONTENT_TYPE, "application/json").body(body);
        let answer = http.answer(message, true, self.timeout).await.map_err(CallFailure::by)?;
        let token = impersonated(&answer.body, SystemClock.now());
        read(&answer, token, token_refusal(answer.status))
    }

    async fn ask_metadata_server(&self, url: &str, account: &str) -> Result<Token, CallFailure> {
        let http = self.logins.first().ok_or(CallFailure::unsent())?;
        let url = format!("{url}/computeMetadata/v1/instance/service-accounts/{account}/token");
        let message = http.request(Method::GET, &url).header(METADATA_FLAVOR, "Google");
        let answer = answer_of_metadata_server(http, message, self.timeout).await.map_err(CallFailure::by)?;
        let (answer, is_genuine) = answer;
        let token = granted(&answer.body).filter(|_| is_genuine);
        read(&answer, token, token_refusal(answer.status))
    }
}

#[async_trait]
impl CredentialSource for Tokens {
    type Client = AccessToken;

    async fn ask(
        &self,
        calls: &Calls,
        has_worked: bool,
        request: &RequestId,
    ) -> Result<Granted<AccessToken>, ReadError> {
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
                    return Err(credential_file::unusable(&calls.store));
                }
                let exchange = self.exchange(sts_url, provider, &subject);
                let exchange = async { exchange.await.map_err(|failed| failed.of_login(has_worked)) };
                let made = calls.make(StoreOperation::Login, EXCHANGE, request, exchange).await;
                let federated = made.map_err(|failed| failed.error)?;
                match service_account {
                    None => federated,
                    Some(account) => {
                        let impersonate = self.impersonate(iam_credentials_url, account, &federated.0);
                        let impersonate = async { impersonate.await.map_err(|failed| failed.of_login(has_worked)) };
                        let made = calls.make(StoreOperation::Login, IMPERSONATION, request, impersonate).await;
                        made.map_err(|failed| failed.error)?
                    }
                }
            }
            GcpAuth::MetadataServer { service_account, endpoint_url } => {
                let asked = self.ask_metadata_server(endpoint_url, service_account);
                let asked = async { asked.await.map_err(|failed| failed.of_login(has_worked)) };
                let made = calls.make(StoreOperation::Login, EXCHANGE, request, asked).await;
                made.map_err(|failed| failed.error)?
            }
            GcpAuth::ServiceAccountKeyFile(file) => {
                let text = credential_file::read(&calls.store, file).await?;
                let signed = key_file::token(&text, SystemClock.now());
                signed.ok_or_else(|| credential_file::unusable(&calls.store))?
            }
        };
        Ok(Granted { client: token, ttl: Some(ttl) })
    }
}

/// The token of a good answer, or the meaning of another one.
fn read(answer: &Answer, token: Option<Token>, refusal: Meaning) -> Result<Token, CallFailure> {
    match answer.status {
        200 => token.ok_or(CallFailure::decoding(ReadError::Unavailable)),
        status => Err(CallFailure::answered(status, refusal, answer.retry_after)),
    }
}

/// The answer, and whether it has the header of a metadata server.
async fn answer_of_metadata_server(
    http: &Outbound,
    message: reqwest::RequestBuilder,
    timeout: Duration,
) -> Result<(Answer, bool), CallFault> {
    let mut response = http.respond(message, true, timeout).await?;
    let is_genuine = response.headers().get(METADATA_FLAVOR).is_some_and(|value| value == "Google");
    let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
    Ok((Answer { status, retry_after, body: read_body(&mut response).await? }, is_genuine))
}

/// The form of an exchange (RFC 8693). Its audience is the provider, whatever the audience of the token.
#[expect(clippy::disallowed_methods, reason = "Google has this token checked")]
fn form(provider: &str, subject: &SecretValue) -> Bytes {
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
        form.extend(utf8_percent_encode(value, FORM));
        form.push('&');
    }
    form.push_str("subject_token=");
    form.extend(utf8_percent_encode(subject.expose_secret(), FORM));
    Bytes::from(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_names_the_provider_and_shows_the_token() {
        let form =
            form("projects/1/locations/global/workloadIdentityPools/a/providers/b", &SecretValue::new("a.b+c".into()));
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
