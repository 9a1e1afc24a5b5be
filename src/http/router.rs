//! The routers of both listeners, and the layers around them.

use super::ops::{livez, metrics, only_get, readyz};
use super::responses::ApiError;
use super::state::HttpState;
use super::{docs_page, observe, openapi, responses, routes, vault};
use crate::wire::problem::Code;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::AUTHORIZATION;
use http::{HeaderName, StatusCode};
use std::any::Any;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::timeout::TimeoutLayer;

/// Headers whose value no `Debug` output shows.
const CREDENTIALS: [HeaderName; 3] =
    [AUTHORIZATION, HeaderName::from_static("x-vault-token"), HeaderName::from_static("idempotency-key")];
/// Time limit of the ops listener, on which Prometheus gives up after 10 s.
const OPS_TIMEOUT: Duration = Duration::from_secs(10);

/// The router of the API listener. The metrics of each of its routes begin at zero.
pub fn api(state: HttpState) -> Router {
    let metrics = state.broker.metrics();
    let (mut router, document) = routes::documented().split_for_parts();
    for (path, item) in &document.paths.paths {
        routes::methods(item).for_each(|method| metrics.init_route(path, method));
    }
    for (path, page) in [("/openapi.json", get(openapi::handle)), ("/docs", get(docs_page::handle))] {
        metrics.init_route(path, "GET");
        router = router.route(path, routes::refuse_others(page, &["GET"]));
    }
    // One stack, outermost first, because each call of `layer` boxes the service of every request again.
    let layers =
        (SetSensitiveRequestHeadersLayer::new(CREDENTIALS), from_fn_with_state(state.clone(), observe::observe));
    let router = router.merge(vault::router(metrics, state.vault.as_deref()));
    router.fallback(responses::not_found).layer(layers).with_state(state)
}

/// The router of the ops listener: no authentication, and never a secret.
pub fn ops(state: HttpState) -> Router {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .fallback(responses::not_found)
        .method_not_allowed_fallback(only_get);
    with_ops_layers(router).with_state(state)
}

/// The layers of the ops listener. Its handlers change nothing, so they may be cancelled.
fn with_ops_layers<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer((
        from_fn(observe::add_request_id),
        TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, OPS_TIMEOUT),
        CatchPanicLayer::custom(respond_to_panic),
    ))
}

fn respond_to_panic(_: Box<dyn Any + Send>) -> Response {
    ApiError::from(Code::Internal).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use tower::ServiceExt as _;

    async fn answer_of(handler: fn() -> futures_util::future::BoxFuture<'static, &'static str>) -> Response {
        let router = with_ops_layers(Router::new().route("/", get(handler)));
        let request = http::Request::get("/").header("host", "a").body(Body::empty()).expect("a request");
        let Ok(response) = router.oneshot(request).await;
        assert!(response.headers().contains_key("x-request-id"));
        assert_eq!(response.headers().keys().next().map(HeaderName::as_str), Some("content-length"));
        response
    }

    #[tokio::test(start_paused = true)]
    async fn the_ops_listener_answers_when_a_handler_panics_or_hangs() {
        assert_eq!(answer_of(|| Box::pin(async { "ok\n" })).await.status(), 200);
        let panicked = answer_of(|| Box::pin(async { panic!("on purpose") })).await;
        assert_eq!(panicked.headers()["content-type"], "application/problem+json");
        assert_eq!(panicked.status(), 500);
        let started = tokio::time::Instant::now();
        assert_eq!(answer_of(|| Box::pin(std::future::pending())).await.status(), 503);
        assert_eq!(started.elapsed().as_secs(), OPS_TIMEOUT.as_secs());
    }
}
