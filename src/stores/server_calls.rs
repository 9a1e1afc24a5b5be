//! Makes the calls to one server: counts and logs them, and suspends them while a circuit breaker is open.

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

/// What an error response means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResponseMeaning {
    /// The error for the caller.
    pub(super) error: ReadError,
    /// The error code in the log, if it is a known one.
    pub(super) log_code: &'static str,
    /// Whether the server is overloaded.
    pub(super) throttled: bool,
    /// Whether the credentials may be the reason, and not the request.
    pub(super) credentials_suspect: bool,
}

#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
impl ResponseMeaning {
    /// An error that concerns neither the load of the server nor the credentials.
    pub(super) const fn new(error: ReadError, log_code: &'static str) -> Self {
        Self { error, log_code, throttled: false, credentials_suspect: false }
    }

    /// An error that the credentials may have caused.
    pub(super) const fn suspect_credentials(log_code: &'static str) -> Self {
        Self { credentials_suspect: true, ..Self::new(ReadError::Forbidden, log_code) }
    }

    /// An error of an overloaded server.
    pub(super) const fn throttled(log_code: &'static str) -> Self {
        Self { throttled: true, ..Self::new(ReadError::Unavailable, log_code) }
    }
}

/// A failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallError {
    /// The error for the caller.
    pub(super) error: ReadError,
    /// Whether the credentials may be the reason.
    pub(super) credentials_suspect: bool,
    /// Whether the call may have taken effect: it was sent, and no complete response arrived.
    pub(super) may_have_taken_effect: bool,
    verdict: CallVerdict,
    /// The error code in the log.
    log_code: &'static str,
    status: u16,
}

impl CallError {
    /// No complete response arrived.
    pub(super) const fn no_response(cause: TransportError) -> Self {
        Self {
            may_have_taken_effect: !matches!(cause, TransportError::Connect | TransportError::Unconnected(_)),
            verdict: cause.verdict(),
            log_code: cause.as_str(),
            ..Self::not_sent(ReadError::Unavailable)
        }
    }

    /// A response with status 200 that cannot be used.
    #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
    pub(super) const fn unusable(error: ReadError) -> Self {
        Self { log_code: "decode", status: 200, ..Self::not_sent(error) }
    }

    /// A refusal of which only the status is known.
    #[cfg(feature = "aws")]
    pub(super) const fn refused_with_status(status: u16) -> Self {
        Self { log_code: "status", status, ..Self::not_sent(ReadError::Forbidden) }
    }

    /// Whether the response shows that the server is available.
    #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
    pub(super) fn server_is_available(&self) -> bool {
        matches!(self.verdict, CallVerdict::Served | CallVerdict::RateLimited(_))
    }

    /// An error response, with its `Retry-After`.
    pub(super) fn from_response(status: u16, meaning: ResponseMeaning, wait: Option<Duration>) -> Self {
        let ResponseMeaning { error, log_code, throttled, credentials_suspect } = meaning;
        let verdict = match (throttled, wait) {
            (true, wait) => CallVerdict::RateLimited(wait.filter(|wait| !wait.is_zero())),
            // A 500 concerns one secret, and must not suspend the calls for others.
            (false, _) if matches!(status, 502..=504) => CallVerdict::Failed,
            (false, _) => CallVerdict::Served,
        };
        Self { credentials_suspect, verdict, log_code, status, ..Self::not_sent(error) }
    }

    /// Returns a response with status 200. For any other, returns the error according to `refusal`.
    #[cfg(any(feature = "azure", feature = "gcp"))]
    pub(super) fn check_status(
        response: StoreResponse,
        refusal: fn(u16, &[u8]) -> ResponseMeaning,
    ) -> Result<StoreResponse, Self> {
        if response.status == 200 {
            return Ok(response);
        }
        Err(Self::from_response(response.status, refusal(response.status, &response.body), response.retry_after))
    }

    /// No request was sent.
    pub(super) const fn not_sent(error: ReadError) -> Self {
        let (verdict, log_code) = (CallVerdict::Served, "unsent");
        Self { error, credentials_suspect: false, may_have_taken_effect: false, verdict, log_code, status: 0 }
    }
}

/// Makes the calls of a store to one server.
pub(super) struct ServerCalls {
    pub(super) store: Arc<str>,
    breakers: Arc<Breakers>,
    metrics: Arc<Metrics>,
}

impl ServerCalls {
    /// Without a probe, only groups of calls have breakers, and not the server.
    pub(super) fn new(store: Arc<str>, metrics: Arc<Metrics>, probe: Option<Arc<dyn Probe>>) -> Self {
        let breakers = Breakers::new(store.clone(), metrics.clone(), probe);
        Self { store, breakers, metrics }
    }

    /// Makes a login call. If a login has succeeded before (`has_logged_in_before`), a refusal is reported as `Unavailable`,
    /// because servers also refuse while they cannot reach the identity provider.
    ///
    /// # Errors
    /// As for [`Self::make`].
    #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
    pub(super) async fn log_in<T>(
        &self,
        target: BreakerTarget<'_>,
        has_logged_in_before: bool,
        request_id: &RequestId,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, ReadError> {
        let call = async {
            call.await.map_err(|failed| match failed.error {
                ReadError::Forbidden if has_logged_in_before => CallError { error: ReadError::Unavailable, ..failed },
                _ => failed,
            })
        };
        // Boxed, because the future of an SDK's call is large, and all callers' futures would be as large.
        Box::pin(self.make(StoreOperation::Login, target, request_id, call)).await.map_err(|failed| failed.error)
    }

    /// Makes a call of this operation, for the breakers of `target`.
    ///
    /// # Errors
    /// The error of `call`; `Unavailable` while calls are suspended. Suspended calls are neither counted nor logged.
    pub(super) async fn make<T>(
        &self,
        operation: StoreOperation,
        target: BreakerTarget<'_>,
        request_id: &RequestId,
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
                %request_id,
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
    fn a_call_without_a_response_may_have_taken_effect_unless_there_was_no_connection() {
        for (cause, verdict, may_have_taken_effect) in [
            (TransportError::Connect, CallVerdict::Failed, false),
            (TransportError::Timeout, CallVerdict::TimedOut, true),
            (TransportError::Broken, CallVerdict::Failed, true),
            (TransportError::BodyTooLarge, CallVerdict::Served, true),
        ] {
            let error = CallError::no_response(cause);
            assert_eq!((error.verdict, error.may_have_taken_effect), (verdict, may_have_taken_effect), "{cause:?}");
        }
    }

    #[test]
    fn errors_of_a_single_secret_count_as_served() {
        let second = Duration::from_secs(1);
        let meaning = |error| ResponseMeaning { error, log_code: "code", throttled: false, credentials_suspect: false };
        let verdict = |status, meaning, wait| CallError::from_response(status, meaning, wait).verdict;
        for status in [307, 400, 401, 403, 404, 500] {
            for error in [ReadError::Absent, ReadError::Forbidden, ReadError::Unavailable] {
                let meaning = meaning(error);
                assert_eq!(verdict(status, meaning, Some(second)), CallVerdict::Served, "{status} {error}");
            }
        }
        for status in [502, 503, 504] {
            let meaning = meaning(ReadError::Unavailable);
            assert_eq!(verdict(status, meaning, Some(second)), CallVerdict::Failed, "{status}");
        }
        for status in [400, 429] {
            let verdict =
                |wait| verdict(status, ResponseMeaning { throttled: true, ..meaning(ReadError::Unavailable) }, wait);
            assert_eq!(verdict(None), CallVerdict::RateLimited(None), "{status}");
            assert_eq!(verdict(Some(Duration::ZERO)), CallVerdict::RateLimited(None), "{status}");
            assert_eq!(verdict(Some(second)), CallVerdict::RateLimited(Some(second)), "{status}");
        }
    }
}
