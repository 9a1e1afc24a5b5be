//! The errors of attestation.

use crate::cluster::CallFailure;

/// Why there are no facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// The pod belongs to a run whose status Tekton has not yet written.
    #[error("Tekton has not yet recorded the caller's pod in its run")]
    NotYet,
    /// The call to the API server failed.
    #[error("the caller's pod or run could not be looked up")]
    Unavailable,
}

impl AttestError {
    /// Logs why a call to the API server for a kind of object failed, and returns [`Self::Unavailable`].
    pub(super) fn log_unavailable(authenticator: &str, object: &'static str, failure: CallFailure) -> Self {
        if failure == CallFailure::Credentials {
            tracing::error!(
                authenticator,
                what = object,
                trouble = failure.as_str(),
                "the API server refuses the broker's own credentials or their RBAC (get of pods, and of taskruns and \
                 pipelineruns in tekton.dev): policies with `attest` grant nothing"
            );
        } else {
            tracing::warn!(authenticator, what = object, trouble = failure.as_str(), "a lookup of caller facts failed");
        }
        Self::Unavailable
    }
}
