//! A call, what its answer means, and both on record: the one place where calls are counted, logged and held back.

use super::call::Call;
use super::client::{Answer, Client};
use crate::metrics::Metrics;
use crate::metrics::labels::{StoreOperation, StoreOutcome};
use crate::model::request_id::RequestId;
use crate::stores::breaker::{Breakers, Probe, Verdict};
use crate::stores::outbound::CallFault;
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

/// A call that gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed {
    /// What that means.
    pub(super) error: ReadError,
    /// Whether the answer was 403: also what a dead token gets, whatever is asked.
    pub(super) forbidden: bool,
    /// Whether the call was sent and its answer did not come whole: what it asks for may have been done.
    pub(super) is_lost: bool,
}

impl Failed {
    /// A failure without an answer that would say more.
    pub(super) const fn of(error: ReadError) -> Self {
        Self { error, forbidden: false, is_lost: false }
    }
}

impl Exchange {
    /// For the store of that name, reached by that client.
    pub(super) fn new(store: Arc<str>, client: Client, metrics: Arc<Metrics>) -> Self {
        let client = Arc::new(client);
        let health = Health { store: store.clone(), client: client.clone(), metrics: metrics.clone() };
        let breakers = Breakers::new(store.clone(), metrics.clone(), Some(Arc::new(health)));
        Self { store, client, breakers, metrics }
    }

    /// Makes a call and reads its answer.
    ///
    /// # Errors
    /// What `meaning` says; `Unavailable` where nothing came back, or where calls are suspended: that is no call, and is
    /// neither counted as one nor logged.
    pub(super) async fn ask<E: Endpoint, T>(
        &self,
        call: Call<'_, E>,
        request: &RequestId,
        meaning: impl FnOnce(&Answer) -> Result<T, ReadError>,
    ) -> Result<T, Failed> {
        let operation = call.options.operation;
        let Some(pass) = self.breakers.admit(call.options.target) else {
            return Err(Failed::of(ReadError::Unavailable));
        };
        let started = Instant::now();
        let answered = self.client.call(call, request).await;
        pass.settle(verdict(&answered));
        let (result, status, kind) = match &answered {
            Ok(answer) => (meaning(answer), answer.status, if answer.status == 200 { "decode" } else { "status" }),
            Err(fault) => (Err(ReadError::Unavailable), 0, fault.as_str()),
        };
        self.metrics.store_request(&self.store, operation, outcome_of(&result), started.elapsed());
        result.map_err(|error| {
            // Absences are everyday; who asked for what stands in the audit log.
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
            Failed { error, forbidden: status == 403, is_lost }
        })
    }
}

/// The server's health, which takes no token and reads no secret.
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
        // Counted, so that a server that is away shows although no other calls are made.
        let outcome = if serves { StoreOutcome::Ok } else { StoreOutcome::Unavailable };
        self.metrics.store_request(&self.store, StoreOperation::Preflight, outcome, started.elapsed());
        serves
    }
}

/// What a call says about the server. A 500 is about a path: one that is broken must not hold back the others.
fn verdict(outcome: &Result<Answer, CallFault>) -> Verdict {
    match outcome {
        Ok(Answer { status: 429, retry_after, .. }) => Verdict::Limited(retry_after.filter(|wait| !wait.is_zero())),
        Ok(Answer { status: 502..=504, .. }) => Verdict::Failed,
        Ok(_) => Verdict::Served,
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
            assert_eq!(verdict(&answer(status, Some(second))), Verdict::Served, "{status}");
        }
        for status in [502, 503, 504] {
            assert_eq!(verdict(&answer(status, None)), Verdict::Failed, "{status}");
        }
        assert_eq!(verdict(&answer(429, Some(second))), Verdict::Limited(Some(second)));
        for wait in [None, Some(Duration::ZERO)] {
            assert_eq!(verdict(&answer(429, wait)), Verdict::Limited(None));
        }
        for (fault, expected) in [
            (CallFault::Connect, Verdict::Failed),
            (CallFault::Timeout, Verdict::Late),
            (CallFault::Broken, Verdict::Failed),
            (CallFault::BodyTooLarge, Verdict::Served),
        ] {
            assert_eq!(verdict(&Err(fault)), expected, "{fault:?}");
        }
    }
}
