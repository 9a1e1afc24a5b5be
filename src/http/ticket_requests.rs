//! The counter of requests for tickets, which are refused in more places than their handler.

use crate::broker::Broker;
use crate::metrics::labels::Outcome;
use crate::wire::problem::Code;

/// The template of the path of `POST /v1/tickets`.
pub const TEMPLATE: &str = "/v1/tickets";

/// Counts a request for a ticket, with the code of its error.
pub fn count(broker: &Broker, error: Option<Code>) {
    let (outcome, code) = match error {
        None => (Outcome::Ok, "ok"),
        Some(code) if matches!(code.status(), 401 | 403) => (Outcome::Denied, code.as_str()),
        Some(code) => (Outcome::Failed, code.as_str()),
    };
    broker.metrics().count_ticket_request(outcome, code);
}
