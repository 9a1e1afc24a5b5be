//! Makes calls to the server. They are counted and logged here, and suspended by circuit breakers.

use super::call::Call;
use super::client::Client;
use crate::metrics::Metrics;
use crate::metrics::labels::{StoreOperation, StoreOutcome};
use crate::model::request_id::RequestId;
use crate::stores::breaker::{Breakers, CallVerdict, Probe};
use crate::stores::outbound::{StoreResponse, TransportError};
use crate::stores::port::{ReadError, outcome_label};
use async_trait::async_trait;
use rustify::endpoint::Endpoint;
use std::sync::Arc;
use tokio::time::Instant;

/// The client of one store with its name, its breakers and its counters.
pub(super) struct Exchange {
    pub(super) store: Arc<str>,
    pub(super) client: Arc<Client>,
    breakers: Arc<Breakers>,
    metrics: Arc<Metrics>,
}

/// A failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VaultError {
    /// The meaning.
    pub(super) error: ReadError,
    /// Whether the response was 403, which an expired or revoked token gets for every call.
    pub(super) forbidden: bool,
    /// Whether the call was sent and no complete response arrived. It may have taken effect.
    pub(super) is_lost: bool,
}

impl VaultError {
    /// A failure without a response.
    pub(super) const fn without_response(error: ReadError) -> Self {
        Self { error, forbidden: false, is_lost: false }
    }
}

impl Exchange {
    /// Creates the exchange of the store with this name.
    pub(super) fn new(store: Arc<str>, client: Client, metrics: Arc<Metrics>) -> Self {
        let client = Arc::new(client);
        let health = HealthProbe { store: store.clone(), client: client.clone(), metrics: metrics.clone() };
        let breakers = Breakers::new(store.clone(), metrics.clone(), Some(Arc::new(health)));
        Self { store, client, breakers, metrics }
    }

    /// Makes a call and reads its response.
    ///
    /// # Errors
    /// What `meaning` returns; `Unavailable` without a response, and while calls are suspended. Suspended calls are neither
    /// counted nor logged.
    pub(super) async fn call<E: Endpoint, T>(
        &self,
        call: Call<'_, E>,
        request: &RequestId,
        meaning: impl FnOnce(&StoreResponse) -> Result<T, ReadError>,
    ) -> Result<T, VaultError> {
        let operation = call.options.operation;
        let Some(permit) = self.breakers.admit(call.options.target) else {
            return Err(VaultError::without_response(ReadError::Unavailable));
        };
        let started = Instant::now();
        let answered = self.client.call(call, request).await;
        permit.settle(verdict(&answered));
        let (result, status, kind) = match &answered {
            Ok(response) => {
                (meaning(response), response.status, if response.status == 200 { "decode" } else { "status" })
            }
            Err(fault) => (Err(ReadError::Unavailable), 0, fault.as_str()),
        };
        self.metrics.record_store_request(&self.store, operation, outcome_label(&result), started.elapsed());
        result.map_err(|error| {
            // Absences are normal. The audit log has the path.
            if !matches!(error, ReadError::Absent | ReadError::Deleted) {
                tracing::warn!(
                    store = %self.store,
                    operation = operation.as_str(),
                    outcome = error.outcome().as_str(),
                    kind,
                    status,
                    request_id = %request,
                    "a call to the store failed"
                );
            }
            let is_lost = answered
                .as_ref()
                .is_err_and(|fault| !matches!(fault, TransportError::Connect | TransportError::Unconnected(_)));
            VaultError { error, forbidden: status == 403, is_lost }
        })
    }
}

/// The health check; it needs no token and reads no secret.
struct HealthProbe {
    store: Arc<str>,
    client: Arc<Client>,
    metrics: Arc<Metrics>,
}

#[async_trait]
impl Probe for HealthProbe {
    async fn serves(&self) -> bool {
        let started = Instant::now();
        let response = self.client.health(&RequestId::random()).await;
        // Not initialised, sealed, or a gateway without a server behind it. Standbys (429, 472, 473) serve.
        let serves = response.is_ok_and(|response| !matches!(response.status, 501..=504));
        // Counted, so that an unreachable server is visible although no other calls are made.
        let outcome = if serves { StoreOutcome::Ok } else { StoreOutcome::Unavailable };
        self.metrics.record_store_request(&self.store, StoreOperation::Preflight, outcome, started.elapsed());
        serves
    }
}

/// The meaning of a call's result for the circuit breaker. A 500 concerns one path, and must not suspend calls of others.
fn verdict(outcome: &Result<StoreResponse, TransportError>) -> CallVerdict {
    match outcome {
        Ok(StoreResponse { status: 429, retry_after, .. }) => {
            CallVerdict::Limited(retry_after.filter(|wait| !wait.is_zero()))
        }
        Ok(StoreResponse { status: 502..=504, .. }) => CallVerdict::Failed,
        Ok(_) => CallVerdict::Served,
        Err(fault) => fault.verdict(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use zeroize::Zeroizing;

    #[test]
    fn the_verdict_concerns_the_server_and_not_the_secret() {
        let second = Duration::from_secs(1);
        let response = |status, retry_after| Ok(StoreResponse { status, retry_after, body: Zeroizing::default() });
        for status in [200, 204, 301, 307, 400, 403, 404, 405, 412, 500] {
            assert_eq!(verdict(&response(status, Some(second))), CallVerdict::Served, "{status}");
        }
        for status in [502, 503, 504] {
            assert_eq!(verdict(&response(status, None)), CallVerdict::Failed, "{status}");
        }
        assert_eq!(verdict(&response(429, Some(second))), CallVerdict::Limited(Some(second)));
        for wait in [None, Some(Duration::ZERO)] {
            assert_eq!(verdict(&response(429, wait)), CallVerdict::Limited(None));
        }
        for (fault, expected) in [
            (TransportError::Connect, CallVerdict::Failed),
            (TransportError::Timeout, CallVerdict::Late),
            (TransportError::Broken, CallVerdict::Failed),
            (TransportError::BodyTooLarge, CallVerdict::Served),
        ] {
            assert_eq!(verdict(&Err(fault)), expected, "{fault:?}");
        }
    }
}
