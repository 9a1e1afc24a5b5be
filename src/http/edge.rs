//! State that all handlers share.

use super::vault::api::VaultApi;
use crate::broker::Broker;
use axum::extract::FromRef;
use ipnet::IpNet;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// A handle to the state that all handlers share. It is one pointer, because each request clones it several times.
#[derive(Clone)]
pub struct Edge(Arc<EdgeState>);

/// The state that all handlers share.
pub struct EdgeState {
    /// The broker, whose methods are the verbs.
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

impl From<EdgeState> for Edge {
    fn from(state: EdgeState) -> Self {
        Self(Arc::new(state))
    }
}

impl Deref for Edge {
    type Target = EdgeState;

    fn deref(&self) -> &EdgeState {
        &self.0
    }
}

impl FromRef<Edge> for Arc<Broker> {
    fn from_ref(edge: &Edge) -> Self {
        edge.broker.clone()
    }
}
