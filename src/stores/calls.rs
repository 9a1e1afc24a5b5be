//! Makes calls to the servers of a cloud. They are counted and logged, and suspended by circuit breakers.

use super::breaker::{BreakerTarget, Breakers, CallVerdict, Probe};
#[cfg(any(feature = "azure", feature = "gcp"))]
use super::outbound::StoreResponse;
use super::outbound::TransportError;
use super::port::ReadError;
use crate::metrics::Metrics;
use crate::metrics::labels::{StoreOperation, StoreOutcome};
use crate::model::request_id::RequestId;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The meaning of an error response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResponseMeaning {
    /// The class.
    pub(super) error: ReadError,
    /// What the log shows: the error code, if it is a known one.
    pub(super) log_code: &'static str,
    /// Whether the server is overloaded.
    pub(super) throttled: bool,
    /// Whether the credentials may be the reason, and not the request.
    pub(super) suspect: bool,
}

impl ResponseMeaning {
    /// Neither an overloaded server nor suspect credentials.
    pub(super) const fn new(error: ReadError, log_code: &'static str) -> Self {
        Self { error, log_code, throttled: false, suspect: false }
    }

    /// The credentials may be the reason.
    pub(super) const fn suspect(log_code: &'static str) -> Self {
        Self { suspect: true, ..Self::new(ReadError::Forbidden, log_code) }
    }

    /// The server is overloaded.
    pub(super) const fn throttled(log_code: &'static str) -> Self {
        Self { throttled: true, ..Self::new(ReadError::Unavailable, log_code) }
    }
}

/// A failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallError {
    /// The class.
    pub(super) error: ReadError,
    /// Whether the credentials may be the reason.
    pub(super) suspect: bool,
    verdict: CallVerdict,
    /// What the log shows of the error.
    log_code: &'static str,
    status: u16,
}

impl CallError {
    /// No complete response arrived.
    pub(super) const fn no_response(fault: TransportError) -> Self {
        let (error, verdict) = (ReadError::Unavailable, fault.verdict());
        Self { error, suspect: false, verdict, log_code: fault.as_str(), status: 0 }
    }

    /// A malformed response.
    pub(super) const fn malformed(error: ReadError) -> Self {
        Self { error, suspect: false, verdict: CallVerdict::Served, log_code: "decode", status: 200 }
    }

    /// A refusal, by its status alone.
    #[cfg(feature = "aws")]
    pub(super) const fn refused_with_status(status: u16) -> Self {
        let (error, verdict) = (ReadError::Forbidden, CallVerdict::Served);
        Self { error, suspect: false, verdict, log_code: "status", status }
    }

    /// Whether the server serves.
    pub(super) fn is_served(&self) -> bool {
        matches!(self.verdict, CallVerdict::Served | CallVerdict::Limited(_))
    }

    /// An error response, with its `Retry-After`.
    pub(super) fn from_response(status: u16, meaning: ResponseMeaning, wait: Option<Duration>) -> Self {
        let ResponseMeaning { error, log_code, throttled, suspect } = meaning;
        let verdict = match (throttled, wait) {
            (true, wait) => CallVerdict::Limited(wait.filter(|wait| !wait.is_zero())),
            // A 500 concerns one secret, and must not suspend calls of others.
            (false, _) if matches!(status, 502..=504) => CallVerdict::Failed,
            (false, _) => CallVerdict::Served,
        };
        Self { error, suspect, verdict, log_code, status }
    }

    /// The response if its status is 200, and otherwise the error that `refusal` gives.
    #[cfg(any(feature = "azure", feature = "gcp"))]
    pub(super) fn unless_ok(
        response: StoreResponse,
        refusal: fn(u16, &[u8]) -> ResponseMeaning,
    ) -> Result<StoreResponse, Self> {
        if response.status == 200 {
            return Ok(response);
        }
        Err(Self::from_response(response.status, refusal(response.status, &response.body), response.retry_after))
    }

    /// The request could not be built.
    pub(super) const fn not_sent() -> Self {
        Self { log_code: "unsent", status: 0, ..Self::malformed(ReadError::Misconfigured) }
    }
}

/// The calls to one server, under the name of a store.
pub(super) struct Calls {
    pub(super) store: Arc<str>,
    breakers: Arc<Breakers>,
    metrics: Arc<Metrics>,
}

impl Calls {
    /// Creates the calls to one server. Without a probe only groups of calls have breakers.
    pub(super) fn new(store: Arc<str>, metrics: Arc<Metrics>, probe: Option<Arc<dyn Probe>>) -> Self {
        let breakers = Breakers::new(store.clone(), metrics.clone(), probe);
        Self { store, breakers, metrics }
    }

    /// Makes a login call. If a login has succeeded before (`has_worked`), a refusal is `Unavailable`: the identity provider may be
    /// unreachable.
    ///
    /// # Errors
    /// As for [`Self::make`].
    pub(super) async fn log_in<T>(
        &self,
        target: BreakerTarget<'_>,
        has_worked: bool,
        request: &RequestId,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, ReadError> {
        let call = async {
            call.await.map_err(|failed| match failed.error {
                ReadError::Forbidden if has_worked => CallError { error: ReadError::Unavailable, ..failed },
                _ => failed,
            })
        };
        // Boxed, because the future of an SDK's call is large, and all callers' futures would be as large.
        Box::pin(self.make(StoreOperation::Login, target, request, call)).await.map_err(|failed| failed.error)
    }

    /// Makes a call.
    ///
    /// # Errors
    /// What `call` returns; `Unavailable` while calls are suspended. Suspended calls are neither counted nor logged.
    pub(super) async fn make<T>(
        &self,
        operation: StoreOperation,
        target: BreakerTarget<'_>,
        request: &RequestId,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let Some(permit) = self.breakers.admit(target) else {
            return Err(CallError::no_response(TransportError::Connect));
        };
        let started = Instant::now();
        let result = call.await;
        permit.settle(result.as_ref().map_or_else(|failed| failed.verdict, |_| CallVerdict::Served));
        let outcome = result.as_ref().map_or_else(|failed| failed.error.outcome(), |_| StoreOutcome::Ok);
        self.metrics.record_store_request(&self.store, operation, outcome, started.elapsed());
        if let Err(failed) = &result
            && !matches!(failed.error, ReadError::Absent | ReadError::Deleted)
        {
            // Absences are normal. The audit log has the path.
            tracing::warn!(
                store = %self.store,
                operation = operation.as_str(),
                outcome = outcome.as_str(),
                kind = failed.log_code,
                status = failed.status,
                request_id = %request,
                "a call to the store failed"
            );
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_concerns_the_server_and_not_the_secret() {
        let second = Duration::from_secs(1);
        let verdict = |status, meaning, wait| CallError::from_response(status, meaning, wait).verdict;
        for status in [307, 400, 401, 403, 404, 500] {
            for error in [ReadError::Absent, ReadError::Forbidden, ReadError::Unavailable] {
                let meaning = ResponseMeaning::new(error, "code");
                assert_eq!(verdict(status, meaning, Some(second)), CallVerdict::Served, "{status} {error}");
            }
        }
        for status in [502, 503, 504] {
            let meaning = ResponseMeaning::new(ReadError::Unavailable, "status");
            assert_eq!(verdict(status, meaning, Some(second)), CallVerdict::Failed, "{status}");
        }
        for status in [400, 429] {
            let verdict = |wait| verdict(status, ResponseMeaning::throttled("code"), wait);
            assert_eq!(verdict(None), CallVerdict::Limited(None), "{status}");
            assert_eq!(verdict(Some(Duration::ZERO)), CallVerdict::Limited(None), "{status}");
            assert_eq!(verdict(Some(second)), CallVerdict::Limited(Some(second)), "{status}");
        }
    }
}
