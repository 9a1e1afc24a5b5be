//! The error of one attempt, and whether a retry is allowed.

use crate::cli::command_error::CommandError;
use crate::cli::http_client;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::Response;
use std::time::Duration;

/// Maximum size of an error body. A larger one is treated as empty; every error body of Claviger is smaller.
const MAX_PROBLEM_BYTES: usize = 64 * 1024;

/// The effect that a failed attempt had on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerEffect {
    /// None. A retry may succeed.
    NoEffect,
    /// Unknown, because the response was lost. A retry may succeed.
    Unknown,
    /// A retry is useless, because the server has decided, or its response cannot be used.
    Final,
}

/// The error of one attempt.
#[derive(Debug)]
pub struct AttemptError {
    pub cause: CommandError,
    pub effect: ServerEffect,
    pub retry_after: Option<Duration>,
}

impl AttemptError {
    /// An error after which a retry is useless.
    pub const fn not_retryable(cause: CommandError) -> Self {
        Self { cause, effect: ServerEffect::Final, retry_after: None }
    }

    /// The response was incomplete or too large.
    pub fn from_read_error(cause: CommandError) -> Self {
        let effect =
            if matches!(cause, CommandError::Unreachable(_)) { ServerEffect::Unknown } else { ServerEffect::Final };
        Self { cause, effect, retry_after: None }
    }

    /// The request could not be sent, or had no response.
    pub fn from_send_error(error: &reqwest::Error) -> Self {
        let mut result = Self::from_read_error(http_client::connection_error(error));
        if error.is_connect() && result.effect == ServerEffect::Unknown {
            result.effect = ServerEffect::NoEffect;
        }
        result
    }

    /// The server responded with an error.
    pub async fn from_response(mut response: Response) -> Self {
        let status = response.status().as_u16();
        let retry_after = parse_retry_after(response.headers());
        let request_id = http_client::request_id(response.headers());
        let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
        let body = http_client::read_body(&mut response, MAX_PROBLEM_BYTES).await.unwrap_or_default();
        let problem = if is_problem { serde_json::from_slice(&body).ok() } else { None };
        let effect = match (status, &problem) {
            // Claviger sends these before it consumes a ticket, and a proxy that sends 429 has not forwarded the request.
            (429, _) | (503, Some(_)) => ServerEffect::NoEffect,
            // A proxy lost the response of the server.
            (502..=504, None) => ServerEffect::Unknown,
            _ => ServerEffect::Final,
        };
        Self { cause: CommandError::Refused { status, problem, request_id }, effect, retry_after }
    }

    /// The status of the response. `None` if there was none.
    pub const fn status(&self) -> Option<u16> {
        match self.cause {
            CommandError::Refused { status, .. } => Some(status),
            _ => None,
        }
    }
}

/// Parses `Retry-After` in seconds. A date (RFC 9110, 10.2.3) is ignored, because the local clock may be wrong.
fn parse_retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}
