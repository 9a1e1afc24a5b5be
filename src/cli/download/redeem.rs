//! Redeems a ticket at most once, unless the server can tell that a second attempt repeats the first.
//!
//! All attempts of a run send the same random `Idempotency-Key`, so that a download whose answer was lost can be repeated for a
//! while. A decision of the server is never retried.

use super::attempt::{Attempt, ServerEffect};
use super::checked::{Head, checked};
use super::downloaded::Downloaded;
use super::link::Link;
use super::progress::Progress;
use crate::cli::failure::Failure;
use crate::cli::http_client::{self, ANSWER_WITHIN};
use crate::cli::retry_budget::RetryBudget;
use crate::model::format::Format;
use crate::model::request_id::RequestId;
use http::header::{AUTHORIZATION, HeaderValue};
use reqwest::Client;
use std::time::Duration;

/// Larger than any bundle of a server.
const MAX_BUNDLE_BYTES: usize = 64 * 1024 * 1024;
/// How long a server returns the same bytes again.
const REPEATED_WITHIN: Duration = Duration::from_secs(30);

/// A ticket to redeem.
pub struct Redemption<'a> {
    pub client: &'a Client,
    pub link: &'a Link,
    /// The caller's token: needed if the ticket is bound to its identity.
    pub bearer: Option<&'a HeaderValue>,
    /// Format and key.
    pub format: Format,
    /// Number of keys of the ticket, if known.
    pub keys: Option<usize>,
}

impl Redemption<'_> {
    /// Redeems the ticket. Returns only a complete bundle.
    pub async fn run(&self, retry_budget: &mut RetryBudget, progress: &Progress) -> Result<Downloaded, Failure> {
        let key = RequestId::random();
        let mut lost = false;
        loop {
            let attempt = match self.once(&key, retry_budget.left().min(ANSWER_WITHIN)).await {
                Ok(downloaded) => return Ok(downloaded),
                Err(attempt) => attempt,
            };
            if attempt.done == ServerEffect::Perhaps && !lost {
                lost = true;
                retry_budget.shorten(REPEATED_WITHIN);
            }
            progress.says("the download broke off, trying again");
            if attempt.done == ServerEffect::Decided || !retry_budget.wait(attempt.retry_after).await {
                progress.clear();
                return Err(if lost { after_loss(attempt) } else { attempt.failure });
            }
        }
    }

    async fn once(&self, key: &RequestId, within: Duration) -> Result<Downloaded, Attempt> {
        let mut url = self.link.url().clone();
        url.query_pairs_mut().append_pair("format", self.format.as_str());
        let mut request = self.client.get(url).timeout(within).header("idempotency-key", key.as_str());
        if let Some(bearer) = self.bearer {
            request = request.header(AUTHORIZATION, bearer.clone());
        }
        let mut response = request.send().await.map_err(|error| Attempt::unanswered(&error))?;
        if response.status() != 200 {
            return Err(Attempt::refused(response).await);
        }
        let head = Head::of(response.headers(), self.format).map_err(Attempt::decided)?;
        let bytes = http_client::read(&mut response, MAX_BUNDLE_BYTES).await.map_err(Attempt::broken)?;
        checked(&bytes, &head, self.format, self.keys).map_err(Attempt::decided)?;
        Ok(Downloaded { bytes, stale: head.stale, versions: head.versions })
    }
}

/// Explains a refusal that follows a lost answer.
fn after_loss(attempt: Attempt) -> Failure {
    if attempt.status() == Some(410) {
        return Failure::TicketLost;
    }
    attempt.failure
}
