//! EDGE: HTTP/1.1 in and out. A handler is its extractors, one call of the broker, and one answer.
//!
//! `serve` owns the connections, `head_scan` and `guard` refuse malformed requests, `routes` lists every route.

mod accept;
mod administrator;
mod answer;
mod audit;
mod audit_query;
mod bearer;
mod body;
mod bundle;
mod bundle_request;
mod client_address;
mod contract;
mod decisions;
mod docs;
mod downloads;
mod entrance;
mod framing;
#[cfg(fuzzing)]
pub mod fuzzing;
mod guard;
mod head_scan;
mod leases;
mod observe;
pub mod openapi;
mod ops;
mod pace;
mod paging;
mod path;
mod percent;
mod policies;
mod preconditions;
mod query;
mod room;
mod router;
mod routes;
mod secrets;
mod serve;
mod ticket_body;
mod tickets;
mod vault;
mod waiting_tickets;
mod whole;

use crate::broker::Broker;
use axum::extract::FromRef;
use ipnet::IpNet;
use std::sync::Arc;
use std::time::Duration;

pub use entrance::listen;
pub use router::{api, ops};
pub use serve::{ServeLimits, TlsSource, serve};
pub use vault::VaultApi;

/// State shared by all handlers.
#[derive(Clone)]
pub struct Edge {
    /// The pipeline.
    pub broker: Arc<Broker>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// The largest request body, in bytes.
    pub body_bytes: usize,
    /// The time a body may take to arrive.
    pub body_timeout: Duration,
    /// The Vault-compatible API, where it is served.
    pub vault: Option<Arc<VaultApi>>,
}

impl FromRef<Edge> for Arc<Broker> {
    fn from_ref(edge: &Edge) -> Self {
        edge.broker.clone()
    }
}
