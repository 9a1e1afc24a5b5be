//! One attempt that failed, and whether another may be made.

use crate::cli::failure::Failure;
use crate::cli::server;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::Response;
use std::time::Duration;

/// Errors are small; whatever is larger is none of ours.
const MAX_PROBLEM_BYTES: usize = 64 * 1024;

/// What an attempt that failed has done at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Nothing, and the next attempt may do better.
    Nothing,
    /// Nobody knows: the answer was lost.
    Perhaps,
    /// The server has decided.
    Decided,
}

/// An attempt that failed.
#[derive(Debug)]
pub struct Attempt {
    /// Why.
    pub failure: Failure,
    /// What it has done.
    pub done: Done,
    /// When the server wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl Attempt {
    /// One that will not get better.
    pub const fn decided(failure: Failure) -> Self {
        Self { failure, done: Done::Decided, retry_after: None }
    }

    /// No answer came, or not all of it.
    pub fn broken(failure: Failure) -> Self {
        let done = if matches!(failure, Failure::Unreachable(_)) { Done::Perhaps } else { Done::Decided };
        Self { failure, done, retry_after: None }
    }

    /// The request could not be sent, or nothing answered it.
    pub fn unanswered(error: &reqwest::Error) -> Self {
        let mut attempt = Self::broken(server::unreachable(error));
        if error.is_connect() && attempt.done == Done::Perhaps {
            attempt.done = Done::Nothing;
        }
        attempt
    }

    /// The server answered, and it is not what was asked for.
    pub async fn refused(mut response: Response) -> Self {
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let request_id = server::request_id(response.headers());
        let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
        let body = server::read(&mut response, MAX_PROBLEM_BYTES).await.unwrap_or_default();
        let problem = if is_problem { serde_json::from_slice(&body).ok() } else { None };
        let done = match (status, &problem) {
            // Ours come before anything is consumed, and nobody forwards what he turns away.
            (429, _) | (503, Some(_)) => Done::Nothing,
            // Somebody between us and the server lost its answer.
            (502..=504, None) => Done::Perhaps,
            _ => Done::Decided,
        };
        Self { failure: Failure::Refused { status, problem, request_id }, done, retry_after }
    }

    /// The status, where the server answered with one.
    pub const fn status(&self) -> Option<u16> {
        match self.failure {
            Failure::Refused { status, .. } => Some(status),
            _ => None,
        }
    }
}

/// In seconds; the date that HTTP allows too is not for clocks that nobody has set.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}
