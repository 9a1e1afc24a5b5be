//! The routes of the API. The `#[utoipa::path]` of a handler states its method, path and documentation; nothing here repeats them.

use super::edge::Edge;
use super::{
    answer, audit, contract, decisions, downloads, inventory, leases, policies, secrets, tickets, waiting_tickets,
};
use axum::routing::MethodRouter;
use http::{HeaderValue, Method};
use utoipa::openapi::path::PathItem;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

/// All routes that the contract describes, and the contract.
pub fn documented() -> OpenApiRouter<Edge> {
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
    .map(|(schemas, paths, handlers): UtoipaMethodRouter<Edge>| {
        let allowed: Vec<_> = paths.paths.values().flat_map(methods).collect();
        (schemas, paths, refuse_others(handlers, &allowed))
    })
    .fold(OpenApiRouter::with_openapi(contract::header()), OpenApiRouter::routes)
}

/// The methods of a path.
pub fn methods(item: &PathItem) -> impl Iterator<Item = &'static str> {
    let operations = [("GET", &item.get), ("POST", &item.post), ("PUT", &item.put), ("DELETE", &item.delete)];
    operations.into_iter().filter(|(_, operation)| operation.is_some()).map(|(method, _)| method)
}

/// Answers every other method with the allowed ones. That includes `HEAD`, which axum would answer by running the handler of
/// `GET`: it would consume a ticket.
pub fn refuse_others(handlers: MethodRouter<Edge>, allowed: &[&str]) -> MethodRouter<Edge> {
    let allowed = HeaderValue::from_str(&allowed.join(", ")).unwrap_or_else(|_| HeaderValue::from_static(""));
    let refuse = move |method: Method| async move { answer::method_not_allowed(&method, allowed) };
    handlers.head(refuse.clone()).fallback(refuse)
}
