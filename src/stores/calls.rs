//! Makes calls to a cloud's servers: counted, logged, and suspended while the server does not serve.

use super::breaker::{Breakers, CallVerdict, Probe, Target};
use super::outbound::CallFault;
use super::port::ReadError;
use crate::metrics::Metrics;
use crate::metrics::labels::{StoreOperation, StoreOutcome};
use crate::model::request_id::RequestId;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The meaning of an answer that is a refusal or an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    /// The class.
    pub(super) error: ReadError,
    /// The name in the log: the code, if it is known here.
    pub(super) word: &'static str,
    /// Whether the server is overloaded.
    pub(super) throttled: bool,
    /// Whether the credentials may be the reason, and not the request.
    pub(super) suspect: bool,
}

impl Meaning {
    /// Neither an overloaded server nor suspect credentials.
    pub(super) const fn plain(error: ReadError, word: &'static str) -> Self {
        Self { error, word, throttled: false, suspect: false }
    }

    /// The credentials may be the reason.
    pub(super) const fn suspect(word: &'static str) -> Self {
        Self { suspect: true, ..Self::plain(ReadError::Forbidden, word) }
    }

    /// The server is overloaded.
    pub(super) const fn throttled(word: &'static str) -> Self {
        Self { throttled: true, ..Self::plain(ReadError::Unavailable, word) }
    }
}

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
    #[cfg(feature = "aws")]
    pub(super) const fn refused(status: u16) -> Self {
        let (error, verdict) = (ReadError::Forbidden, CallVerdict::Served);
        Self { error, suspect: false, verdict, word: "status", status }
    }

    /// A refusal of a login that has succeeded before is `Unavailable`: the identity provider may be unreachable.
    #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
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

    /// An error of the server, with its `Retry-After`.
    pub(super) fn answered(status: u16, meaning: Meaning, wait: Option<Duration>) -> Self {
        let Meaning { error, word, throttled, suspect } = meaning;
        let verdict = match (throttled, wait) {
            (true, wait) => CallVerdict::Limited(wait.filter(|wait| !wait.is_zero())),
            // A 500 concerns one secret, and must not suspend calls of others.
            (false, _) if matches!(status, 502..=504) => CallVerdict::Failed,
            (false, _) => CallVerdict::Served,
        };
        Self { error, suspect, verdict, word, status }
    }

    /// A request that could not be built.
    pub(super) const fn unsent() -> Self {
        Self { word: "unsent", status: 0, ..Self::decoding(ReadError::Misconfigured) }
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
        self.metrics.record_store_request(&self.store, operation, outcome, started.elapsed());
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
        let verdict = |status, meaning, wait| CallFailure::answered(status, meaning, wait).verdict;
        for status in [307, 400, 401, 403, 404, 500] {
            for error in [ReadError::Absent, ReadError::Forbidden, ReadError::Unavailable] {
                let meaning = Meaning::plain(error, "code");
                assert_eq!(verdict(status, meaning, Some(second)), CallVerdict::Served, "{status} {error}");
            }
        }
        for status in [502, 503, 504] {
            let meaning = Meaning::plain(ReadError::Unavailable, "status");
            assert_eq!(verdict(status, meaning, Some(second)), CallVerdict::Failed, "{status}");
        }
        for status in [400, 429] {
            let verdict = |wait| verdict(status, Meaning::throttled("code"), wait);
            assert_eq!(verdict(None), CallVerdict::Limited(None), "{status}");
            assert_eq!(verdict(Some(Duration::ZERO)), CallVerdict::Limited(None), "{status}");
            assert_eq!(verdict(Some(second)), CallVerdict::Limited(Some(second)), "{status}");
        }
    }
}
