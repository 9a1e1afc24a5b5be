//! The id token of a job of GitHub Actions: requested at the URL that the runner names, with the bearer token that goes with it.

use crate::cli::bearer;
use crate::cli::failure::Failure;
use crate::cli::http_client::{self, ANSWER_WITHIN};
use crate::cli::retry_budget::RetryBudget;
use crate::cli::workflow::variable;
use crate::model::secret::SecretValue;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Client, Url};
use serde::Deserialize;
use std::time::Duration;
use zeroize::Zeroizing;

const REQUEST_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const REQUEST_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
/// The variables that request an id token.
pub const REQUEST_VARIABLES: [&str; 2] = [REQUEST_URL, REQUEST_TOKEN];
/// Larger than any id token.
const MAX_ANSWER_BYTES: usize = 128 * 1024;

/// The answer. It holds the token: no `Debug`.
#[derive(Deserialize)]
struct Answer {
    value: String,
}

/// A prepared request.
struct Request {
    url: Url,
    bearer: HeaderValue,
    client: Client,
}

/// Why there is no token yet, and whether a retry may succeed.
struct Attempt {
    failure: Failure,
    may_pass: bool,
}

/// Requests an id token for an audience. Repeats the request while GitHub is unavailable and there is time left.
pub async fn id_token(audience: &str, retry_budget: &mut RetryBudget) -> Result<SecretValue, Failure> {
    let request = Request::of_this_job(audience)?;
    loop {
        let attempt = match request.send(retry_budget.left().min(ANSWER_WITHIN)).await {
            Ok(token) => return Ok(token),
            Err(attempt) => attempt,
        };
        if !attempt.may_pass || !retry_budget.wait(None).await {
            return Err(attempt.failure);
        }
    }
}

impl Request {
    fn of_this_job(audience: &str) -> Result<Self, Failure> {
        let wrong = |name: &str, reason: &str| Failure::usage(format!("--token-from github-actions: {name} {reason}"));
        let set = |name: &str| {
            variable(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty()).ok_or_else(|| {
                wrong(
                    name,
                    "is not set: the job needs `permissions: id-token: write`. Pull requests from forks cannot have that permission",
                )
            })
        };
        let (url, token) = (set(REQUEST_URL)?, SecretValue::new(set(REQUEST_TOKEN)?));
        let mut url = Url::parse(&url).map_err(|_| wrong(REQUEST_URL, "is not a URL"))?;
        if !(url.scheme() == "https" || url.scheme() == "http" && http_client::is_loopback(&url)) {
            return Err(wrong(REQUEST_URL, "must be https"));
        }
        url.query_pairs_mut().append_pair("audience", audience);
        let bearer = bearer::header(&token).ok_or_else(|| wrong(REQUEST_TOKEN, "cannot be sent"))?;
        // The certificates of the machine: --ca-file is for Claviger's server.
        let client = http_client::client(url.scheme(), None)?;
        Ok(Self { url, bearer, client })
    }

    async fn send(&self, within: Duration) -> Result<SecretValue, Attempt> {
        let request = self.client.get(self.url.clone()).timeout(within);
        let request = request.header(AUTHORIZATION, self.bearer.clone()).header(ACCEPT, "application/json");
        let mut response = request.send().await.map_err(|error| Attempt::lost(http_client::unreachable(&error)))?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(Attempt::refused(status));
        }
        let body = http_client::read(&mut response, MAX_ANSWER_BYTES).await.map_err(Attempt::lost)?;
        let token = serde_json::from_slice::<Answer>(&body)
            .ok()
            .and_then(|answer| bearer::parse(&Zeroizing::new(answer.value)));
        token.ok_or_else(|| Attempt::decided(Failure::Failed("GitHub's answer has no id token in it".into())))
    }
}

impl Attempt {
    const fn decided(failure: Failure) -> Self {
        Self { failure, may_pass: false }
    }

    fn lost(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(reason) => Self {
                failure: Failure::Unavailable(format!("GitHub's id tokens cannot be requested: {reason}")),
                may_pass: true,
            },
            Failure::Failed(reason) => {
                Self::decided(Failure::Failed(format!("GitHub's id tokens cannot be requested: {reason}")))
            }
            other => Self::decided(other),
        }
    }

    fn refused(status: u16) -> Self {
        match status {
            429 | 500..=599 => Self {
                failure: Failure::Unavailable(format!("GitHub gives no id token now: it answered {status}")),
                may_pass: true,
            },
            300..=399 => Self::decided(Failure::Failed(format!(
                "GitHub gives no id token: it answered {status}, and redirects are not followed"
            ))),
            _ => Self::decided(Failure::Failed(format!(
                "GitHub gives no id token: it answered {status}; is the job over, or the audience refused?"
            ))),
        }
    }
}
