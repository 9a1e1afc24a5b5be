//! Makes the calls to the server, and checks its health for the circuit breaker.

use super::call::{Call, CallOptions};
use super::client::Client;
use crate::metrics::Metrics;
use crate::metrics::labels::{StoreOperation, StoreOutcome};
use crate::model::request_id::RequestId;
use crate::stores::breaker::Probe;
use crate::stores::outbound::StoreResponse;
use crate::stores::port::ReadError;
use crate::stores::server_calls::{CallError, ResponseMeaning, ServerCalls};
use async_trait::async_trait;
use rustify::endpoint::Endpoint;
use std::sync::Arc;
use tokio::time::Instant;

/// The client of one store, whose calls are counted, logged and suspended by [`ServerCalls`].
pub(super) struct VaultServer {
    pub(super) client: Arc<Client>,
    pub(super) calls: ServerCalls,
}

impl VaultServer {
    /// Creates the server of the store with this name.
    pub(super) fn new(store: Arc<str>, client: Client, metrics: Arc<Metrics>) -> Self {
        let client = Arc::new(client);
        let health = HealthProbe { store: store.clone(), client: client.clone(), metrics: metrics.clone() };
        Self { client, calls: ServerCalls::new(store, metrics, Some(Arc::new(health))) }
    }

    /// Makes a call, and returns what `parse` makes of the response.
    ///
    /// # Errors
    /// The error of `parse`; `Unavailable` without a response, and while calls are suspended. If the response is 403, the
    /// credentials are suspect: an expired or revoked token gets it for every call.
    pub(super) async fn call<E: Endpoint, T>(
        &self,
        call: Call<'_, E>,
        request_id: &RequestId,
        parse: impl FnOnce(&StoreResponse) -> Result<T, ReadError>,
    ) -> Result<T, CallError> {
        let CallOptions { operation, target, .. } = call.options;
        let call = async {
            let response = self.client.call(call, request_id).await.map_err(CallError::no_response)?;
            parse(&response).map_err(|error| call_error(&response, error))
        };
        self.calls.make(operation, target, request_id, call).await
    }
}

fn call_error(response: &StoreResponse, error: ReadError) -> CallError {
    let status = response.status;
    let log_code = if status == 200 { "decode" } else { "status" };
    let meaning = ResponseMeaning { error, log_code, throttled: status == 429, credentials_suspect: status == 403 };
    CallError::from_response(status, meaning, response.retry_after)
}

/// The health check, which needs no token and reads no secret.
struct HealthProbe {
    store: Arc<str>,
    client: Arc<Client>,
    metrics: Arc<Metrics>,
}

#[async_trait]
impl Probe for HealthProbe {
    async fn is_available(&self) -> bool {
        let started = Instant::now();
        let response = self.client.health(&RequestId::random()).await;
        // 501 to 504: not initialised, sealed, or a gateway without a server. Standbys (429, 472, 473) are available.
        let is_available = response.is_ok_and(|response| !matches!(response.status, 501..=504));
        // Counted in the metrics, which show an unreachable server even while no other calls are made.
        let outcome = if is_available { StoreOutcome::Ok } else { StoreOutcome::Unavailable };
        self.metrics.record_store_request(&self.store, StoreOperation::Preflight, outcome, started.elapsed());
        is_available
    }
}
