//! Redeems a ticket, with retries.
//!
//! All attempts send the same random `Idempotency-Key`, by which the server recognizes a retry. For a limited time the server
//! returns the same bytes again. After a decision of the server there is no retry.

use super::attempt_error::{AttemptError, ServerEffect};
use super::download_link::DownloadLink;
use super::downloaded_bundle::DownloadedBundle;
use super::progress::Progress;
use super::verification::{DownloadHeaders, verify};
use crate::cli::command_error::CommandError;
use crate::cli::http_client::{self, RESPONSE_TIMEOUT};
use crate::cli::retry_budget::RetryBudget;
use crate::model::format::Format;
use crate::model::request_id::RequestId;
use http::header::{AUTHORIZATION, HeaderValue};
use reqwest::Client;
use std::time::Duration;

/// Maximum size of a download. A larger one is an error; every bundle of a server is smaller.
const MAX_BUNDLE_BYTES: usize = 64 * 1024 * 1024;
/// How long a server returns the same bytes for the same `Idempotency-Key`.
const REPLAY_WINDOW: Duration = Duration::from_secs(30);

/// A ticket to redeem.
pub struct Redemption<'a> {
    pub client: &'a Client,
    pub link: &'a DownloadLink,
    /// The caller's token, needed if the ticket is bound to the caller.
    pub bearer: Option<&'a HeaderValue>,
    pub format: Format,
    /// Number of keys of the ticket, if known.
    pub key_count: Option<usize>,
}

impl Redemption<'_> {
    /// Redeems the ticket, and verifies the bundle.
    pub async fn run(
        &self,
        retry_budget: &mut RetryBudget,
        progress: &Progress,
    ) -> Result<DownloadedBundle, CommandError> {
        let key = RequestId::random();
        let mut response_lost = false;
        loop {
            let error = match self.try_redeem(&key, retry_budget.remaining().min(RESPONSE_TIMEOUT)).await {
                Ok(downloaded) => return Ok(downloaded),
                Err(error) => error,
            };
            if error.effect == ServerEffect::Unknown && !response_lost {
                response_lost = true;
                retry_budget.shorten(REPLAY_WINDOW);
            }
            progress.show_step("the download broke off, trying again");
            if error.effect == ServerEffect::Final || !retry_budget.wait(error.retry_after).await {
                progress.clear();
                return Err(if response_lost { error_after_loss(error) } else { error.cause });
            }
        }
    }

    async fn try_redeem(&self, key: &RequestId, time_limit: Duration) -> Result<DownloadedBundle, AttemptError> {
        let mut url = self.link.url().clone();
        url.query_pairs_mut().append_pair("format", self.format.as_str());
        let mut request = self.client.get(url).timeout(time_limit).header("idempotency-key", key.as_str());
        if let Some(bearer) = self.bearer {
            request = request.header(AUTHORIZATION, bearer.clone());
        }
        let mut response = request.send().await.map_err(|error| AttemptError::from_send_error(&error))?;
        if response.status() != 200 {
            return Err(AttemptError::from_response(response).await);
        }
        let headers = DownloadHeaders::parse(response.headers(), self.format).map_err(AttemptError::not_retryable)?;
        let bytes =
            http_client::read_body(&mut response, MAX_BUNDLE_BYTES).await.map_err(AttemptError::from_read_error)?;
        verify(&bytes, &headers, self.format, self.key_count).map_err(AttemptError::not_retryable)?;
        Ok(DownloadedBundle { bytes, stale: headers.stale, versions_digest: headers.versions_digest })
    }
}

/// The error after a lost response: a status of 410 then means that the lost attempt may have redeemed the ticket.
fn error_after_loss(error: AttemptError) -> CommandError {
    if error.status() == Some(410) {
        return CommandError::TicketLost;
    }
    error.cause
}
