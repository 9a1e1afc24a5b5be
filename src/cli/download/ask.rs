//! Requests a ticket. It can be repeated at will: a ticket whose answer was lost expires unused.

use super::attempt::{Attempt, ServerEffect};
use super::{Link, Receipt, Source};
use crate::cli::failure::Failure;
use crate::cli::http_client::{self, ANSWER_WITHIN};
use crate::wire::ticket::{TicketReceipt, TicketRequest};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use zeroize::Zeroizing;

/// Larger than the names of all keys of any bundle.
const MAX_RECEIPT_BYTES: usize = 4 * 1024 * 1024;

impl Source<'_> {
    /// Repeats the request until there is a ticket, a refusal, or no time left.
    pub(super) async fn ask(&mut self, request: &TicketRequest) -> Result<Receipt, Failure> {
        let body = serde_json::to_vec(request).map_err(|_| Failure::Failed("the request cannot be JSON".into()))?;
        loop {
            let attempt = match self.ask_once(body.clone()).await {
                Ok(ticket) => return Ok(ticket),
                Err(attempt) => attempt,
            };
            self.progress.says("the server does not answer as it should, trying again");
            if attempt.done == ServerEffect::Decided || !self.retry_budget.wait(attempt.retry_after).await {
                self.progress.clear();
                return Err(attempt.failure);
            }
        }
    }

    async fn ask_once(&self, body: Vec<u8>) -> Result<Receipt, Attempt> {
        let request =
            self.client.post(format!("{}v1/tickets", self.origin)).timeout(self.retry_budget.left().min(ANSWER_WITHIN));
        let request = request.header(AUTHORIZATION, self.bearer.clone()).header(ACCEPT, "application/json");
        let request = request.header("prefer", "sizes");
        let answer = request.header(CONTENT_TYPE, "application/json").body(body).send().await;
        let mut response = answer.map_err(|error| Attempt::unanswered(&error))?;
        if response.status() != 201 {
            return Err(Attempt::refused(response).await);
        }
        let request_id = http_client::request_id(response.headers());
        let body = http_client::read(&mut response, MAX_RECEIPT_BYTES).await.map_err(Attempt::broken)?;
        let unexpected_answer = || Attempt::decided(Failure::Refused { status: 201, problem: None, request_id });
        let Ok(receipt) = serde_json::from_slice::<TicketReceipt>(&body) else { return Err(unexpected_answer()) };
        let Some(link) = Link::parse(&Zeroizing::new(receipt.url)) else { return Err(unexpected_answer()) };
        if !link.may_follow(&self.origin) {
            let unsafe_link = "the ticket's URL is not https, and the server is; it is not followed";
            return Err(Attempt::decided(Failure::Failed(unsafe_link.into())));
        }
        if !self.arguments.may_send_to(link.url()) {
            let in_clear = "the ticket's URL is http; it is followed with --insecure only";
            return Err(Attempt::decided(Failure::Failed(in_clear.into())));
        }
        Ok(Receipt { link, keys: receipt.keys, sizes: receipt.sizes })
    }
}
