//! Requests a ticket, with retries. A ticket whose response was lost expires unused.

use super::attempt_error::{AttemptError, ServerEffect};
use super::{DownloadLink, Receipt, TicketClient};
use crate::cli::command_error::CommandError;
use crate::cli::http_client::{self, RESPONSE_TIMEOUT};
use crate::wire::ticket::{TicketReceipt, TicketRequest};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use zeroize::Zeroizing;

/// Maximum size of a receipt, larger than the names of all keys of any bundle.
const MAX_RECEIPT_BYTES: usize = 4 * 1024 * 1024;

impl TicketClient<'_> {
    /// Sends the request until the server issues a ticket or refuses it, or the time limit is reached.
    pub(super) async fn request_ticket(&mut self, request: &TicketRequest) -> Result<Receipt, CommandError> {
        let body = serde_json::to_vec(request)
            .map_err(|_| CommandError::Other("the request cannot be written as JSON".into()))?;
        loop {
            let error = match self.try_request_ticket(body.clone()).await {
                Ok(ticket) => return Ok(ticket),
                Err(error) => error,
            };
            self.progress.show_step("the server does not answer as it should, trying again");
            if error.effect == ServerEffect::Final || !self.retry_budget.wait(error.retry_after).await {
                self.progress.clear();
                return Err(error.cause);
            }
        }
    }

    async fn try_request_ticket(&self, body: Vec<u8>) -> Result<Receipt, AttemptError> {
        let request = self
            .client
            .post(format!("{}v1/tickets", self.origin))
            .timeout(self.retry_budget.remaining().min(RESPONSE_TIMEOUT));
        let request = request.header(AUTHORIZATION, self.bearer.clone()).header(ACCEPT, "application/json");
        let request = request.header("prefer", "sizes");
        let result = request.header(CONTENT_TYPE, "application/json").body(body).send().await;
        let mut response = result.map_err(|error| AttemptError::from_send_error(&error))?;
        if response.status() != 201 {
            return Err(AttemptError::from_response(response).await);
        }
        let request_id = http_client::request_id(response.headers());
        let body =
            http_client::read_body(&mut response, MAX_RECEIPT_BYTES).await.map_err(AttemptError::from_read_error)?;
        let unexpected_response =
            || AttemptError::not_retryable(CommandError::Refused { status: 201, problem: None, request_id });
        let Ok(receipt) = serde_json::from_slice::<TicketReceipt>(&body) else { return Err(unexpected_response()) };
        let Some(link) = DownloadLink::parse(&Zeroizing::new(receipt.url)) else { return Err(unexpected_response()) };
        if !link.is_allowed_after(&self.origin) {
            let unsafe_link = "the ticket's URL is not https, and the server is; it is not followed";
            return Err(AttemptError::not_retryable(CommandError::Other(unsafe_link.into())));
        }
        if !self.arguments.may_send_to(link.url()) {
            let in_clear = "the ticket's URL is http; it is followed with --insecure only";
            return Err(AttemptError::not_retryable(CommandError::Other(in_clear.into())));
        }
        Ok(Receipt { link, keys: receipt.keys, sizes: receipt.sizes })
    }
}
