//! Runs a handler to completion even if the client disconnects, so that every request that was started counts against its limits
//! and is recorded.

use super::responses::ApiError;
use crate::wire::problem::Code;
use axum::response::{IntoResponse, Response};
use tracing::Instrument as _;

/// Runs the handler in a separate task, in the current span. If the client disconnects, hyper drops the returned future, but the
/// task continues. If the handler panics, the response is `500`.
pub async fn run_detached(handler: impl Future<Output = Response> + Send + 'static) -> Response {
    let task = tokio::spawn(handler.in_current_span());
    task.await.unwrap_or_else(|_| ApiError::from(Code::Internal).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::poll;
    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    #[tokio::test]
    async fn a_handler_completes_after_its_client_is_gone() {
        let (completed, completion) = oneshot::channel();
        let handler = async {
            yield_now().await;
            let _ = completed.send(());
            Response::default()
        };
        let mut waiting = Box::pin(run_detached(handler));
        assert!(poll!(waiting.as_mut()).is_pending());
        drop(waiting);
        assert!(completion.await.is_ok());
    }

    #[tokio::test]
    async fn the_response_to_a_panic_is_500() {
        let handler = async { panic!("on purpose") };
        assert_eq!(run_detached(handler).await.status(), 500);
    }
}
