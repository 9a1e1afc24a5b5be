//! State that all handlers share.

use super::vault::api::VaultApi;
use crate::broker::Broker;
use axum::extract::FromRef;
use ipnet::IpNet;
use std::sync::Arc;
use std::time::Duration;

/// State shared by all handlers.
#[derive(Clone)]
pub struct Edge {
    /// The verbs.
    pub broker: Arc<Broker>,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Largest request body, in bytes.
    pub body_bytes: usize,
    /// Time limit for receiving a request body.
    pub body_timeout: Duration,
    /// The Vault-compatible API, if it is enabled.
    pub vault: Option<Arc<VaultApi>>,
}

impl FromRef<Edge> for Arc<Broker> {
    fn from_ref(edge: &Edge) -> Self {
        edge.broker.clone()
    }
}
