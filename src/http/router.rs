//! Every route, in one place, and the layers around them.

use super::{Edge, answer, downloads, guard, observe, ops as ops_handlers, tickets};
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get};

const TICKETS: &str = "/v1/tickets";
const DOWNLOADS: &str = "/v1/downloads/{ticket}";

/// What each route answers with more than a refusal: counted from zero.
const SERVED: [(&str, &str); 3] = [(TICKETS, "POST"), (DOWNLOADS, "GET"), (DOWNLOADS, "POST")];

/// The api listener.
pub fn api(edge: Edge) -> Router {
    for (route, method) in SERVED {
        edge.broker.metrics().start_route(route, method);
    }
    Router::new()
        .route(TICKETS, any(tickets::handle))
        .route(DOWNLOADS, any(downloads::handle))
        .fallback(answer::not_found)
        .layer(from_fn(guard::refuse_smuggling))
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
        .layer(from_fn(guard::refuse_smuggling))
        .layer(from_fn(observe::name))
        .with_state(edge)
}
