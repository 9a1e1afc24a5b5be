//! Makes calls to the server: the one place where they are counted, logged and suspended.

use super::call::Call;
use super::client::Client;
use crate::metrics::Metrics;
use crate::metrics::labels::{StoreOperation, StoreOutcome};
use crate::model::request_id::RequestId;
use crate::stores::breaker::{Breakers, CallVerdict, Probe};
use crate::stores::outbound::{Answer, CallFault};
use crate::stores::port::{ReadError, outcome_of};
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
pub(super) struct CallFailure {
    /// The meaning.
    pub(super) error: ReadError,
    /// Whether the answer was 403, which a dead token gets for every call.
    pub(super) forbidden: bool,
    /// Whether the call was sent and no complete answer arrived. It may have taken effect.
    pub(super) is_lost: bool,
}

impl CallFailure {
    /// A failure without an answer.
    pub(super) const fn of(error: ReadError) -> Self {
        Self { error, forbidden: false, is_lost: false }
    }
}

impl Exchange {
    /// Creates the exchange of the store with this name.
    pub(super) fn new(store: Arc<str>, client: Client, metrics: Arc<Metrics>) -> Self {
        let client = Arc::new(client);
        let health = Health { store: store.clone(), client: client.clone(), metrics: metrics.clone() };
        let breakers = Breakers::new(store.clone(), metrics.clone(), Some(Arc::new(health)));
        Self { store, client, breakers, metrics }
    }

    /// Makes a call and reads its answer.
    ///
    /// # Errors
    /// What `meaning` returns; `Unavailable` without an answer, and while calls are suspended. Suspended calls are neither
    /// counted nor logged.
    pub(super) async fn ask<E: Endpoint, T>(
        &self,
        call: Call<'_, E>,
        request: &RequestId,
        meaning: impl FnOnce(&Answer) -> Result<T, ReadError>,
    ) -> Result<T, CallFailure> {
        let operation = call.options.operation;
        let Some(pass) = self.breakers.admit(call.options.target) else {
            return Err(CallFailure::of(ReadError::Unavailable));
        };
        let started = Instant::now();
        let answered = self.client.call(call, request).await;
        pass.settle(verdict(&answered));
        let (result, status, kind) = match &answered {
            Ok(answer) => (meaning(answer), answer.status, if answer.status == 200 { "decode" } else { "status" }),
            Err(fault) => (Err(ReadError::Unavailable), 0, fault.as_str()),
        };
        self.metrics.record_store_request(&self.store, operation, outcome_of(&result), started.elapsed());
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
            let is_lost =
                answered.as_ref().is_err_and(|fault| !matches!(fault, CallFault::Connect | CallFault::Unconnected(_)));
            CallFailure { error, forbidden: status == 403, is_lost }
        })
    }
}

/// The health check; it needs no token and reads no secret.
struct Health {
    store: Arc<str>,
    client: Arc<Client>,
    metrics: Arc<Metrics>,
}

#[async_trait]
impl Probe for Health {
    async fn serves(&self) -> bool {
        let started = Instant::now();
        let answer = self.client.health(&RequestId::random()).await;
        // Not initialised, sealed, or a gateway without a server behind it. Standbys (429, 472, 473) serve.
        let serves = answer.is_ok_and(|answer| !matches!(answer.status, 501..=504));
        // Counted, so that an unreachable server is visible although no other calls are made.
        let outcome = if serves { StoreOutcome::Ok } else { StoreOutcome::Unavailable };
        self.metrics.record_store_request(&self.store, StoreOperation::Preflight, outcome, started.elapsed());
        serves
    }
}

/// The meaning of a call's result for the circuit breaker. A 500 concerns one path, and must not suspend calls of others.
fn verdict(outcome: &Result<Answer, CallFault>) -> CallVerdict {
    match outcome {
        Ok(Answer { status: 429, retry_after, .. }) => CallVerdict::Limited(retry_after.filter(|wait| !wait.is_zero())),
        Ok(Answer { status: 502..=504, .. }) => CallVerdict::Failed,
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
    fn the_server_is_judged_and_not_the_secret() {
        let second = Duration::from_secs(1);
        let answer = |status, retry_after| Ok(Answer { status, retry_after, body: Zeroizing::default() });
        for status in [200, 204, 301, 307, 400, 403, 404, 405, 412, 500] {
            assert_eq!(verdict(&answer(status, Some(second))), CallVerdict::Served, "{status}");
        }
        for status in [502, 503, 504] {
            assert_eq!(verdict(&answer(status, None)), CallVerdict::Failed, "{status}");
        }
        assert_eq!(verdict(&answer(429, Some(second))), CallVerdict::Limited(Some(second)));
        for wait in [None, Some(Duration::ZERO)] {
            assert_eq!(verdict(&answer(429, wait)), CallVerdict::Limited(None));
        }
        for (fault, expected) in [
            (CallFault::Connect, CallVerdict::Failed),
            (CallFault::Timeout, CallVerdict::Late),
            (CallFault::Broken, CallVerdict::Failed),
            (CallFault::BodyTooLarge, CallVerdict::Served),
        ] {
            assert_eq!(verdict(&Err(fault)), expected, "{fault:?}");
        }
    }
}
