//! A failed attempt, and whether it may be repeated.

use crate::cli::failure::Failure;
use crate::cli::http_client;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::Response;
use std::time::Duration;

/// Larger than any error body of Claviger.
const MAX_PROBLEM_BYTES: usize = 64 * 1024;

/// The effect of a failed attempt at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerEffect {
    /// None; a retry may succeed.
    Nothing,
    /// Unknown: the answer was lost.
    Perhaps,
    /// Final: the server has decided.
    Decided,
}

/// A failed attempt.
#[derive(Debug)]
pub struct Attempt {
    pub failure: Failure,
    pub done: ServerEffect,
    /// `Retry-After` of the server.
    pub retry_after: Option<Duration>,
}

impl Attempt {
    /// A failure that no retry mends.
    pub const fn decided(failure: Failure) -> Self {
        Self { failure, done: ServerEffect::Decided, retry_after: None }
    }

    /// No answer, or an incomplete one.
    pub fn broken(failure: Failure) -> Self {
        let done =
            if matches!(failure, Failure::Unreachable(_)) { ServerEffect::Perhaps } else { ServerEffect::Decided };
        Self { failure, done, retry_after: None }
    }

    /// The request could not be sent, or had no answer.
    pub fn unanswered(error: &reqwest::Error) -> Self {
        let mut attempt = Self::broken(http_client::unreachable(error));
        if error.is_connect() && attempt.done == ServerEffect::Perhaps {
            attempt.done = ServerEffect::Nothing;
        }
        attempt
    }

    /// The server answered with an error.
    pub async fn refused(mut response: Response) -> Self {
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let request_id = http_client::request_id(response.headers());
        let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
        let body = http_client::read(&mut response, MAX_PROBLEM_BYTES).await.unwrap_or_default();
        let problem = if is_problem { serde_json::from_slice(&body).ok() } else { None };
        let done = match (status, &problem) {
            // Claviger's own come before a ticket is consumed, and a proxy does not forward a request that it refuses.
            (429, _) | (503, Some(_)) => ServerEffect::Nothing,
            // A proxy lost the server's answer.
            (502..=504, None) => ServerEffect::Perhaps,
            _ => ServerEffect::Decided,
        };
        Self { failure: Failure::Refused { status, problem, request_id }, done, retry_after }
    }

    /// The status, if the server answered.
    pub const fn status(&self) -> Option<u16> {
        match self.failure {
            Failure::Refused { status, .. } => Some(status),
            _ => None,
        }
    }
}

/// In seconds. The date form of HTTP is ignored, because our clock may be wrong.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}
