//! The routers of both listeners, and the layers around them.

use super::{Edge, answer, docs, observe, openapi, ops as ops_handlers, routes, vault};
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;

/// The api listener. Every route it can serve is counted from zero.
pub fn api(edge: Edge) -> Router {
    let metrics = edge.broker.metrics();
    let (mut router, contract) = routes::documented().split_for_parts();
    for (path, item) in &contract.paths.paths {
        routes::methods(item).for_each(|method| metrics.start_route(path, method));
    }
    for (path, page) in [("/openapi.json", get(openapi::handle)), ("/docs", get(docs::handle))] {
        metrics.start_route(path, "GET");
        router = router.route(path, routes::refuse_others(page, &["GET"]));
    }
    let vault = vault::router(metrics, edge.vault.as_deref());
    router
        .merge(vault)
        .fallback(answer::not_found)
        .layer(from_fn_with_state(edge.clone(), observe::observe))
        .with_state(edge)
}

/// The ops listener: no authentication, and never a secret.
pub fn ops(edge: Edge) -> Router {
    Router::new()
        .route("/metrics", get(ops_handlers::metrics))
        .route("/livez", get(ops_handlers::livez))
        .route("/readyz", get(ops_handlers::readyz))
        .fallback(answer::not_found)
        .method_not_allowed_fallback(ops_handlers::only_get)
        .layer(from_fn(observe::name))
        .with_state(edge)
}
