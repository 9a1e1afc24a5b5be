//! EDGE: HTTP/1.1 in and out. Handlers are typed extraction, one call of the broker, one answer.
//!
//! `serve` owns the connections, `head_scan` and `guard` refuse what should never reach a handler, `router` has every route.

mod answer;
mod audit;
mod audit_query;
mod bearer;
mod body;
mod bundle;
mod client_address;
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
mod policies;
mod preconditions;
mod query;
mod room;
mod router;
mod secrets;
mod serve;
mod ticket_body;
mod tickets;
mod waiting_tickets;
mod whole;

use crate::broker::Broker;
use ipnet::IpNet;
use std::sync::Arc;
use std::time::Duration;

pub use entrance::listen;
pub use router::{api, ops};
pub use serve::{ServeLimits, TlsSource, serve};

/// What handlers share.
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
}
