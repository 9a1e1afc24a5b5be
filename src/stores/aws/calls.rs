//! Makes calls to AWS's servers: counted, logged, and suspended while the server does not serve.

use super::answers::{Meaning, refusal};
use crate::metrics::Metrics;
use crate::metrics::labels::{StoreOperation, StoreOutcome};
use crate::model::request_id::RequestId;
use crate::stores::breaker::{Breakers, CallVerdict, Probe, Target};
use crate::stores::outbound::CallFault;
use crate::stores::port::ReadError;
use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallFailure {
    /// The meaning.
    pub(super) error: ReadError,
    /// Whether the credentials may be the reason.
    pub(super) suspect: bool,
    verdict: CallVerdict,
    /// The name in the log.
    word: &'static str,
    status: u16,
}

impl CallFailure {
    /// No answer.
    pub(super) const fn by(fault: CallFault) -> Self {
        let (error, verdict) = (ReadError::Unavailable, fault.verdict());
        Self { error, suspect: false, verdict, word: fault.as_str(), status: 0 }
    }

    /// A malformed answer.
    pub(super) const fn decoding(error: ReadError) -> Self {
        Self { error, suspect: false, verdict: CallVerdict::Served, word: "decode", status: 200 }
    }

    /// A refusal, by its status alone.
    pub(super) const fn refused(status: u16) -> Self {
        let (error, verdict) = (ReadError::Forbidden, CallVerdict::Served);
        Self { error, suspect: false, verdict, word: "status", status }
    }

    /// A refusal of a login that has succeeded before is `Unavailable`: the identity provider may be unreachable.
    pub(super) fn of_login(self, has_worked: bool) -> Self {
        match self.error {
            ReadError::Forbidden if has_worked => Self { error: ReadError::Unavailable, ..self },
            _ => self,
        }
    }

    /// Whether the server serves.
    pub(super) fn is_served(&self) -> bool {
        matches!(self.verdict, CallVerdict::Served | CallVerdict::Limited(_))
    }

    /// An error of the server.
    pub(super) fn answered(status: u16, code: Option<&str>, message: Option<&str>, wait: Option<Duration>) -> Self {
        let Meaning { error, word, throttled, suspect } = refusal(status, code, message);
        let verdict = match (throttled, wait) {
            (true, wait) => CallVerdict::Limited(wait.filter(|wait| !wait.is_zero())),
            // A 500 concerns one secret, and must not suspend calls of others.
            (false, _) if matches!(status, 502..=504) => CallVerdict::Failed,
            (false, _) => CallVerdict::Served,
        };
        Self { error, suspect, verdict, word, status }
    }

    /// An error of the SDK. Its message is never shown: it may contain the name of a secret.
    pub(super) fn told<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::ServiceError(told) => {
                let (error, raw) = (told.err(), told.raw());
                let wait = raw.headers().get("retry-after").and_then(|text| text.parse().ok());
                Self::answered(raw.status().as_u16(), error.code(), error.message(), wait.map(Duration::from_secs))
            }
            SdkError::ResponseError(told) => match told.raw().status().as_u16() {
                200 => Self::decoding(ReadError::Unavailable),
                status => Self::answered(status, None, None, None),
            },
            SdkError::DispatchFailure(failure) => {
                let source = failure.as_connector_error().and_then(|error| error.source());
                Self::by(source.and_then(|source| source.downcast_ref()).copied().unwrap_or(CallFault::Broken))
            }
            SdkError::TimeoutError(_) => Self::by(CallFault::Timeout),
            // The request could not be built or signed.
            _ => Self { word: "unsent", status: 0, ..Self::decoding(ReadError::Misconfigured) },
        }
    }
}

/// The calls to one server, under the name of a store.
pub(super) struct Calls {
    pub(super) store: Arc<str>,
    breakers: Arc<Breakers>,
    metrics: Arc<Metrics>,
}

impl Calls {
    /// To one server. Without a probe only groups of calls have breakers.
    pub(super) fn new(store: Arc<str>, metrics: Arc<Metrics>, probe: Option<Arc<dyn Probe>>) -> Self {
        let breakers = Breakers::new(store.clone(), metrics.clone(), probe);
        Self { store, breakers, metrics }
    }

    /// Makes a call.
    ///
    /// # Errors
    /// What `call` returns; `Unavailable` while calls are suspended. Suspended calls are neither counted nor logged.
    pub(super) async fn make<T>(
        &self,
        operation: StoreOperation,
        target: Target<'_>,
        request: &RequestId,
        call: impl Future<Output = Result<T, CallFailure>>,
    ) -> Result<T, CallFailure> {
        let Some(pass) = self.breakers.admit(target) else { return Err(CallFailure::by(CallFault::Connect)) };
        let started = Instant::now();
        let result = call.await;
        pass.settle(result.as_ref().map_or_else(|failed| failed.verdict, |_| CallVerdict::Served));
        let outcome = result.as_ref().map_or_else(|failed| failed.error.outcome(), |_| StoreOutcome::Ok);
        self.metrics.store_request(&self.store, operation, outcome, started.elapsed());
        if let Err(failed) = &result
            && !matches!(failed.error, ReadError::Absent | ReadError::Deleted)
        {
            // Absences are normal. The audit log has the path.
            tracing::warn!(
                store = %self.store,
                operation = operation.as_str(),
                outcome = outcome.as_str(),
                kind = failed.word,
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
    fn the_server_is_judged_and_not_the_secret() {
        let second = Duration::from_secs(1);
        let verdict = |status, code, wait| CallFailure::answered(status, code, None, wait).verdict;
        for (status, code) in [
            (400, Some("ResourceNotFoundException")),
            (400, Some("AccessDeniedException")),
            (400, Some("DecryptionFailure")),
            (400, None),
            (307, None),
            (403, None),
            (404, None),
            (500, Some("InternalServiceError")),
        ] {
            assert_eq!(verdict(status, code, Some(second)), CallVerdict::Served, "{status} {code:?}");
        }
        for (status, code) in [(502, None), (503, Some("Unavailable")), (504, None)] {
            assert_eq!(verdict(status, code, None), CallVerdict::Failed, "{status} {code:?}");
        }
        for (status, code) in [(400, Some("ThrottlingException")), (429, None)] {
            assert_eq!(verdict(status, code, None), CallVerdict::Limited(None), "{status} {code:?}");
            assert_eq!(verdict(status, code, Some(Duration::ZERO)), CallVerdict::Limited(None), "{status} {code:?}");
            assert_eq!(verdict(status, code, Some(second)), CallVerdict::Limited(Some(second)), "{status} {code:?}");
        }
        assert_eq!(verdict(503, None, Some(second)), CallVerdict::Failed);
    }
}
