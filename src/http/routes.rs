//! The routes of the API. Method, path and documentation of a route are in the `#[utoipa::path]` of its handler.

use super::state::HttpState;
use super::{
    audit, decisions, downloads, inventory, leases, openapi_additions, policies, responses, secrets, tickets,
    waiting_tickets,
};
use axum::routing::MethodRouter;
use http::{HeaderValue, Method};
use utoipa::openapi::path::PathItem;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

/// All documented routes, with their `OpenAPI` document.
pub fn documented() -> OpenApiRouter<HttpState> {
    [
        routes!(tickets::issue, waiting_tickets::list, waiting_tickets::revoke_all),
        routes!(waiting_tickets::revoke),
        routes!(secrets::deliver),
        routes!(downloads::redeem),
        routes!(policies::list, policies::create),
        routes!(policies::get, policies::put, policies::delete),
        routes!(policies::list_revisions),
        routes!(leases::list, leases::end_all),
        routes!(leases::end),
        routes!(decisions::explain),
        routes!(audit::list),
        routes!(audit::verify),
        routes!(inventory::list),
    ]
    .into_iter()
    .map(|(schemas, paths, handlers): UtoipaMethodRouter<HttpState>| {
        let allowed: Vec<_> = paths.paths.values().flat_map(methods).collect();
        (schemas, paths, refuse_others(handlers, &allowed))
    })
    .fold(OpenApiRouter::with_openapi(openapi_additions::header()), OpenApiRouter::routes)
}

/// The methods that a path supports.
pub fn methods(item: &PathItem) -> impl Iterator<Item = &'static str> {
    let operations = [("GET", &item.get), ("POST", &item.post), ("PUT", &item.put), ("DELETE", &item.delete)];
    operations.into_iter().filter(|(_, operation)| operation.is_some()).map(|(method, _)| method)
}

/// Refuses all other methods with `405` and the allowed methods. `HEAD` too: axum would run the handler of `GET` for it,
/// which consumes a ticket.
pub fn refuse_others(handlers: MethodRouter<HttpState>, allowed: &[&str]) -> MethodRouter<HttpState> {
    let allowed = HeaderValue::from_str(&allowed.join(", ")).unwrap_or_else(|_| HeaderValue::from_static(""));
    let refuse = move |method: Method| async move { responses::method_not_allowed(&method, allowed) };
    handlers.head(refuse.clone()).fallback(refuse)
}
