//! Errors of attestation.

use crate::cluster::{CallFailure, ClusterError};

/// Why there are no facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// The pod names a run whose status Tekton has not yet written.
    #[error("Tekton has not yet recorded the caller's pod in its run")]
    NotYet,
    /// The API server gave no usable answer.
    #[error("the caller's pod or run could not be looked up")]
    Unavailable,
}

impl AttestError {
    /// Logs why the API server gave no usable answer. `authenticator` is the configured name, `what` the kind of object.
    pub(super) fn unavailable(authenticator: &str, what: &'static str, error: ClusterError) -> Self {
        let ClusterError::Unavailable(trouble) = error;
        if trouble == CallFailure::Credentials {
            tracing::error!(
                authenticator,
                what,
                trouble = trouble.as_str(),
                "the API server refuses the broker's own credentials or their RBAC (get of pods, and of taskruns and \
                 pipelineruns in tekton.dev): policies that attest give nothing"
            );
        } else {
            tracing::warn!(authenticator, what, trouble = trouble.as_str(), "a lookup of caller facts failed");
        }
        Self::Unavailable
    }
}
