//! Runs a handler, and the verb that it calls, to its end even if the client disconnects: a started request is
//! always charged, counted and recorded.

use super::answer::Failure;
use crate::wire::problem::Code;
use axum::response::{IntoResponse, Response};
use tracing::Instrument as _;

/// Runs the handler in a separate task, in the current span. hyper drops the future of a request whose client is
/// gone, but this future only waits for the task. A panic is answered with `500`.
pub async fn detached(handler: impl Future<Output = Response> + Send + 'static) -> Response {
    let task = tokio::spawn(handler.in_current_span());
    task.await.unwrap_or_else(|_| Failure::from(Code::Internal).into_response())
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
        let mut waiting = Box::pin(detached(handler));
        assert!(poll!(waiting.as_mut()).is_pending());
        drop(waiting);
        assert!(completion.await.is_ok());
    }

    #[tokio::test]
    async fn a_panicking_handler_is_answered_with_500() {
        let handler = async { panic!("on purpose") };
        assert_eq!(detached(handler).await.status(), 500);
    }
}
