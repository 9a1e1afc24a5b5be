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
pub struct HttpState(Arc<HttpStateFields>);

/// The state that all handlers share.
pub struct HttpStateFields {
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

impl From<HttpStateFields> for HttpState {
    fn from(state: HttpStateFields) -> Self {
        Self(Arc::new(state))
    }
}

impl Deref for HttpState {
    type Target = HttpStateFields;

    fn deref(&self) -> &HttpStateFields {
        &self.0
    }
}

impl FromRef<HttpState> for Arc<Broker> {
    fn from_ref(state: &HttpState) -> Self {
        state.broker.clone()
    }
}
