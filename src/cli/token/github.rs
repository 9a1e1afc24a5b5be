//! Requests the id token of a GitHub Actions job, at the URL and with the bearer token that the runner sets.

use crate::cli::bearer;
use crate::cli::command_error::CommandError;
use crate::cli::http_client::{self, RESPONSE_TIMEOUT};
use crate::cli::retry_budget::RetryBudget;
use crate::cli::workflow::ci_variable;
use crate::model::secret::SecretValue;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Client, Url};
use serde::Deserialize;
use std::time::Duration;
use zeroize::Zeroizing;

const URL_VARIABLE: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const TOKEN_VARIABLE: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
/// The variables with which an id token can be requested.
pub const REQUEST_VARIABLES: [&str; 2] = [URL_VARIABLE, TOKEN_VARIABLE];
/// Maximum size of a response. A larger one is an error; every id token is smaller.
const MAX_RESPONSE_BYTES: usize = 128 * 1024;

/// The response. It contains the token, so there is no `Debug`.
#[derive(Deserialize)]
struct IdTokenResponse {
    value: String,
}

/// A request for an id token.
struct IdTokenRequest {
    url: Url,
    bearer: HeaderValue,
    client: Client,
}

/// The error of one attempt, and whether a retry may succeed.
struct AttemptError {
    cause: CommandError,
    is_retryable: bool,
}

/// Requests an id token for an audience. Retries while GitHub is unavailable, within the time limit.
pub async fn id_token(audience: &str, retry_budget: &mut RetryBudget) -> Result<SecretValue, CommandError> {
    let request = IdTokenRequest::from_environment(audience)?;
    loop {
        let error = match request.send(retry_budget.remaining().min(RESPONSE_TIMEOUT)).await {
            Ok(token) => return Ok(token),
            Err(error) => error,
        };
        if !error.is_retryable || !retry_budget.wait(None).await {
            return Err(error.cause);
        }
    }
}

impl IdTokenRequest {
    fn from_environment(audience: &str) -> Result<Self, CommandError> {
        let usage_error =
            |name: &str, reason: &str| CommandError::usage(format!("--token-from github-actions: {name} {reason}"));
        let required = |name: &str| {
            ci_variable(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty()).ok_or_else(|| {
                usage_error(
                    name,
                    "is not set: the job needs `permissions: id-token: write`. Pull requests from forks cannot have that permission",
                )
            })
        };
        let (url, token) = (required(URL_VARIABLE)?, SecretValue::new(required(TOKEN_VARIABLE)?));
        let mut url = Url::parse(&url).map_err(|_| usage_error(URL_VARIABLE, "is not a URL"))?;
        if !(url.scheme() == "https" || url.scheme() == "http" && http_client::is_loopback(&url)) {
            return Err(usage_error(URL_VARIABLE, "must be https"));
        }
        url.query_pairs_mut().append_pair("audience", audience);
        let bearer =
            bearer::authorization_header(&token).ok_or_else(|| usage_error(TOKEN_VARIABLE, "cannot be sent"))?;
        // The certificates of the system are trusted; --ca-file is for Claviger's server.
        let client = http_client::client(url.scheme(), None)?;
        Ok(Self { url, bearer, client })
    }

    async fn send(&self, time_limit: Duration) -> Result<SecretValue, AttemptError> {
        let request = self.client.get(self.url.clone()).timeout(time_limit);
        let request = request.header(AUTHORIZATION, self.bearer.clone()).header(ACCEPT, "application/json");
        let mut response = request
            .send()
            .await
            .map_err(|error| AttemptError::from_command_error(http_client::connection_error(&error)))?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(AttemptError::from_status(status));
        }
        let body = http_client::read_body(&mut response, MAX_RESPONSE_BYTES)
            .await
            .map_err(AttemptError::from_command_error)?;
        let token = serde_json::from_slice::<IdTokenResponse>(&body)
            .ok()
            .and_then(|response| bearer::parse_token(&Zeroizing::new(response.value)));
        token.ok_or_else(|| {
            AttemptError::not_retryable(CommandError::Other("GitHub's answer has no id token in it".into()))
        })
    }
}

impl AttemptError {
    const fn not_retryable(cause: CommandError) -> Self {
        Self { cause, is_retryable: false }
    }

    fn from_command_error(cause: CommandError) -> Self {
        match cause {
            CommandError::Unreachable(reason) => Self {
                cause: CommandError::Unavailable(format!("GitHub's id tokens cannot be requested: {reason}")),
                is_retryable: true,
            },
            CommandError::Other(reason) => {
                Self::not_retryable(CommandError::Other(format!("GitHub's id tokens cannot be requested: {reason}")))
            }
            other => Self::not_retryable(other),
        }
    }

    fn from_status(status: u16) -> Self {
        match status {
            429 | 500..=599 => Self {
                cause: CommandError::Unavailable(format!("GitHub gives no id token now: it answered {status}")),
                is_retryable: true,
            },
            300..=399 => Self::not_retryable(CommandError::Other(format!(
                "GitHub gives no id token: it answered {status}, and redirects are not followed"
            ))),
            _ => Self::not_retryable(CommandError::Other(format!(
                "GitHub gives no id token: it answered {status}; is the job over, or the audience refused?"
            ))),
        }
    }
}
