//! A handler runs to its end even if the client hangs up: what was begun is charged, counted and recorded.

use super::answer::Failure;
use crate::wire::problem::Code;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument as _;

/// Runs the handler in a task of its own. hyper drops the future of a request whose client is gone; this one only waits.
pub async fn to_the_end(request: Request, next: Next) -> Response {
    tokio::spawn(next.run(request).in_current_span())
        .await
        .unwrap_or_else(|_| Failure::from(Code::Internal).into_response())
}
