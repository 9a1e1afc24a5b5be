//! A handler, and with it the verb that it calls, runs to its end even if the client hangs up: what was begun is charged,
//! counted and recorded.

use super::answer::Failure;
use crate::wire::problem::Code;
use axum::response::{IntoResponse, Response};

/// Runs the handler in a task of its own. hyper drops the future of a request whose client is gone; this one only waits.
pub async fn to_the_end(handler: impl Future<Output = Response> + Send + 'static) -> Response {
    tokio::spawn(handler).await.unwrap_or_else(|_| Failure::from(Code::Internal).into_response())
}
