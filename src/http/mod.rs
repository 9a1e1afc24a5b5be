//! THE EDGE: the HTTP/1.1 server. A handler has extractors, calls the broker once, and builds one response.
//!
//! `serve` owns the connections, `head_scan` and `guard` refuse malformed requests, `observe` is the layer around all handlers,
//! `routes` lists all routes, and `direct_routes` those of every build, which are not looked up.

#[macro_use]
mod extract;

mod accept;
mod accept_header;
mod administrator;
mod audit;
mod audit_query;
mod bearer;
mod body;
mod bundle;
mod bundle_request;
mod client_address;
mod connection_limit;
mod contract;
mod decisions;
mod detached;
mod direct_routes;
mod docs;
mod downloads;
mod edge;
mod framing;
#[cfg(fuzzing)]
pub mod fuzzing;
mod guard;
mod head_scan;
mod inventory;
mod leases;
mod observe;
pub mod openapi;
mod ops;
mod paging;
mod path;
mod percent;
mod policies;
mod preconditions;
mod query;
mod responses;
mod router;
mod routes;
mod secrets;
mod serve;
mod slow_client;
mod ticket_body;
mod tickets;
mod traced_body;
mod vault;
mod waiting_tickets;

pub use accept::listen;
pub use edge::{Edge, EdgeState};
pub use router::{api, ops};
pub use serve::{ServeLimits, TlsSource, serve};
pub use vault::api::VaultApi;
