//! A call, what its answer means, and both on record: the one place where calls are counted, logged and held back.

use super::client::{Answer, Call, Client};
use crate::metrics::Metrics;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::stores::breaker::{Breaker, Change, Verdict};
use crate::stores::outbound::CallFault;
use crate::stores::{ReadError, outcome_of};
use std::sync::Arc;
use tokio::time::Instant;

/// The client of one store with its name, its breaker and its counters.
pub(super) struct Exchange {
    pub(super) store: Arc<str>,
    pub(super) client: Client,
    breaker: Breaker,
    metrics: Arc<Metrics>,
}

/// A call that gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed {
    /// What that means.
    pub(super) error: ReadError,
    /// Whether the answer was 403: also what a dead token gets, whatever is asked.
    pub(super) forbidden: bool,
}

impl Exchange {
    /// For the store of that name, reached by that client.
    pub(super) fn new(store: Arc<str>, client: Client, metrics: Arc<Metrics>) -> Self {
        Self { store, client, breaker: Breaker::new(), metrics }
    }

    /// Makes a call and reads its answer.
    ///
    /// # Errors
    /// What `meaning` says; `Unavailable` where nothing came back, or where the server is left alone: that is no call,
    /// and is neither counted nor logged.
    pub(super) async fn ask<T>(
        &self,
        operation: StoreOperation,
        call: Call<'_>,
        request: &RequestId,
        meaning: impl FnOnce(&Answer) -> Result<T, ReadError>,
    ) -> Result<T, Failed> {
        let Some(pass) = self.breaker.admit() else {
            return Err(Failed { error: ReadError::Unavailable, forbidden: false });
        };
        let started = Instant::now();
        let answered = self.client.call(call, request).await;
        self.tell(pass.settle(verdict(&answered)));
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
            Failed { error, forbidden: status == 403 }
        })
    }

    fn tell(&self, change: Option<Change>) {
        match change {
            Some(Change::Opened) => tracing::warn!(store = %self.store, "the store is left alone for a while"),
            Some(Change::Closed) => tracing::info!(store = %self.store, "the store serves again"),
            None => {}
        }
    }
}

/// What a call says about the server. A 500 is about a path: one that is broken must not hold back the others.
fn verdict(outcome: &Result<Answer, CallFault>) -> Verdict {
    match outcome {
        Ok(Answer { status: 429, retry_after: Some(wait), .. }) if !wait.is_zero() => Verdict::Hold(*wait),
        Ok(Answer { status: 429 | 502..=504, .. }) => Verdict::Failed,
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
        for status in [429, 502, 503, 504] {
            assert_eq!(verdict(&answer(status, None)), Verdict::Failed, "{status}");
        }
        assert_eq!(verdict(&answer(429, Some(second))), Verdict::Hold(second));
        assert_eq!(verdict(&answer(429, Some(Duration::ZERO))), Verdict::Failed);
        for (fault, expected) in [
            (CallFault::Connect, Verdict::Failed),
            (CallFault::Timeout, Verdict::Failed),
            (CallFault::Broken, Verdict::Failed),
            (CallFault::BodyTooLarge, Verdict::Served),
        ] {
            assert_eq!(verdict(&Err(fault)), expected, "{fault:?}");
        }
    }
}
