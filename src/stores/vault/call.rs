//! One call to a server: an endpoint, and how the call is counted, limited and repeated.

use crate::metrics::labels::StoreOperation;
use crate::stores::breaker::Target;
use http::HeaderValue;

/// One call.
pub(super) struct Call<'a, E> {
    /// The endpoint with its parameters.
    pub(super) endpoint: E,
    /// How the call is made.
    pub(super) options: CallOptions<'a>,
    /// The broker's token, if the call needs one.
    pub(super) token: Option<&'a HeaderValue>,
}

/// How a call is counted, limited and repeated.
#[derive(Clone, Copy)]
pub(super) struct CallOptions<'a> {
    /// The metric label.
    pub(super) operation: StoreOperation,
    /// The circuit breakers that a failure counts for.
    pub(super) target: Target<'a>,
    /// Never sent twice: it creates something, or it takes a use of the token.
    pub(super) once: bool,
    /// Its time limit is `makeTimeout` instead of `timeout`.
    pub(super) is_slow: bool,
    /// It creates something that ends with the token.
    pub(super) binds_token: bool,
}

impl<'a> CallOptions<'a> {
    /// A call that changes nothing.
    pub(super) const fn new(operation: StoreOperation, target: Target<'a>) -> Self {
        Self { operation, target, once: false, is_slow: false, binds_token: false }
    }

    /// A call that makes the server call another system.
    pub(super) const fn slow(operation: StoreOperation, target: Target<'a>) -> Self {
        Self { operation, target, once: true, is_slow: true, binds_token: false }
    }
}
