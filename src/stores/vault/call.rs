//! One call to a server: an endpoint, with its metric label, circuit breakers, time limit and retries.

use crate::metrics::labels::StoreOperation;
use crate::stores::breaker::BreakerTarget;
use http::HeaderValue;

/// One call to a server.
pub(super) struct Call<'a, E> {
    /// The endpoint with its parameters.
    pub(super) endpoint: E,
    /// How the call is made.
    pub(super) options: CallOptions<'a>,
    /// The broker's token, if the call needs one.
    pub(super) token: Option<&'a HeaderValue>,
}

/// The metric label, the circuit breakers, the time limit and the retries of a call.
#[derive(Clone, Copy)]
pub(super) struct CallOptions<'a> {
    /// The metric label.
    pub(super) operation: StoreOperation,
    /// The circuit breakers that a failure counts for.
    pub(super) target: BreakerTarget<'a>,
    /// Whether the call is not retried even if its method is `GET`: it creates a secret, or takes one of the limited uses of a
    /// token (`num_uses`).
    pub(super) no_retry: bool,
    /// Whether the time limit is the setting `makeTimeout` (for calls that create, renew or revoke a credential) instead of
    /// `timeout`.
    pub(super) uses_make_timeout: bool,
    /// Whether the call creates a lease. It then gets a token of its own, because the server revokes a lease together with the
    /// token that created it.
    pub(super) creates_lease: bool,
}

impl<'a> CallOptions<'a> {
    /// Options of a call with the time limit `timeout`, which is retried if its method is `GET`.
    pub(super) const fn new(operation: StoreOperation, target: BreakerTarget<'a>) -> Self {
        Self { operation, target, no_retry: false, uses_make_timeout: false, creates_lease: false }
    }

    /// Options of a call for which the server calls another system: `makeTimeout`, no retry.
    pub(super) const fn calling_backend(operation: StoreOperation, target: BreakerTarget<'a>) -> Self {
        Self { operation, target, no_retry: true, uses_make_timeout: true, creates_lease: false }
    }
}
