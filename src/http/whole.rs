//! A handler, and with it the verb that it calls, runs to its end even if the client hangs up: what was begun is charged,
//! counted and recorded.

use super::answer::Failure;
use crate::wire::problem::Code;
use axum::response::{IntoResponse, Response};

/// Runs the handler in a task of its own. hyper drops the future of a request whose client is gone; this one only waits.
pub async fn to_the_end(handler: impl Future<Output = Response> + Send + 'static) -> Response {
    tokio::spawn(handler).await.unwrap_or_else(|_| Failure::from(Code::Internal).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::poll;
    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    #[tokio::test]
    async fn a_handler_runs_to_its_end_when_nobody_waits_for_it() {
        let (told, heard) = oneshot::channel();
        let handler = async {
            yield_now().await;
            let _ = told.send(());
            Response::default()
        };
        let mut waiting = Box::pin(to_the_end(handler));
        assert!(poll!(waiting.as_mut()).is_pending());
        drop(waiting);
        assert!(heard.await.is_ok());
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_an_answer_too() {
        let handler = async { panic!("on purpose") };
        assert_eq!(to_the_end(handler).await.status(), 500);
    }
}
