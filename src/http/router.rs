//! Every route, in one place, and the layer around them.

use super::{
    Edge, answer, audit, decisions, docs, downloads, leases, observe, openapi, ops as ops_handlers, policies, secrets,
    tickets, waiting_tickets,
};
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get};

const TICKETS: &str = "/v1/tickets";
const TICKET: &str = "/v1/tickets/{ticketId}";
const SECRETS: &str = "/v1/secrets";
const DOWNLOADS: &str = "/v1/downloads/{ticket}";
const POLICIES: &str = "/v1/policies";
const POLICY: &str = "/v1/policies/{name}";
const REVISIONS: &str = "/v1/policies/{name}/revisions";
const LEASES: &str = "/v1/leases";
const LEASE: &str = "/v1/leases/{leaseId}";
const DECISIONS: &str = "/v1/decisions";
const AUDIT: &str = "/v1/audit";
const AUDIT_VERIFY: &str = "/v1/audit/verify";
const CONTRACT: &str = "/openapi.json";
const DOCS: &str = "/docs";

/// What each route answers with more than a refusal: counted from zero.
const SERVED: [(&str, &str); 20] = [
    (TICKETS, "GET"),
    (TICKETS, "POST"),
    (TICKET, "DELETE"),
    (SECRETS, "POST"),
    (DOWNLOADS, "GET"),
    (DOWNLOADS, "POST"),
    (POLICIES, "GET"),
    (POLICIES, "POST"),
    (POLICY, "GET"),
    (POLICY, "PUT"),
    (POLICY, "DELETE"),
    (REVISIONS, "GET"),
    (LEASES, "GET"),
    (LEASES, "DELETE"),
    (LEASE, "DELETE"),
    (DECISIONS, "POST"),
    (AUDIT, "GET"),
    (AUDIT_VERIFY, "GET"),
    (CONTRACT, "GET"),
    (DOCS, "GET"),
];

/// The api listener.
pub fn api(edge: Edge) -> Router {
    for (route, method) in SERVED {
        edge.broker.metrics().start_route(route, method);
    }
    Router::new()
        .route(TICKETS, any(tickets::handle))
        .route(TICKET, any(waiting_tickets::one))
        .route(SECRETS, any(secrets::handle))
        .route(DOWNLOADS, any(downloads::handle))
        .route(POLICIES, any(policies::all))
        .route(POLICY, any(policies::one))
        .route(REVISIONS, any(policies::revisions))
        .route(LEASES, any(leases::all))
        .route(LEASE, any(leases::one))
        .route(DECISIONS, any(decisions::handle))
        .route(AUDIT, any(audit::all))
        .route(AUDIT_VERIFY, any(audit::whole))
        .route(CONTRACT, any(openapi::handle))
        .route(DOCS, any(docs::handle))
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
