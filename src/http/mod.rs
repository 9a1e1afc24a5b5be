//! The HTTP/1.1 server. A handler has extractors, calls the broker once, and builds one response.
//!
//! `serve` owns the connections, `head_scan` and `request_guard` refuse malformed requests, `observe` is the layer around all handlers,
//! and `routes` lists all routes.

#[macro_use]
mod extract;

mod accept;
mod accept_header;
mod administrator;
mod audit;
mod audit_query;
mod bearer;
mod body;
mod bundle_request;
mod bundle_response;
mod client_address;
mod connection_limit;
mod decisions;
mod detached_handler;
mod docs_page;
mod downloads;
mod framing;
#[cfg(fuzzing)]
pub mod fuzzing;
mod head_scan;
mod inventory;
mod leases;
mod observe;
pub mod openapi;
mod openapi_additions;
mod ops;
mod paging;
mod path_parameter;
mod percent_decoding;
mod policies;
mod preconditions;
mod query;
mod request_guard;
mod responses;
mod router;
mod routes;
mod secrets;
mod serve;
mod slow_client;
mod state;
mod ticket_body;
mod ticket_requests;
mod tickets;
mod traced_body;
mod vault;
mod waiting_tickets;

pub use accept::listen;
pub use router::{api, ops};
pub use serve::{ServeLimits, TlsSource, serve};
pub use state::{HttpState, HttpStateFields};
pub use vault::api::VaultApi;
