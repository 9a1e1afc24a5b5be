//! Errors of attestation.

/// Why there are no facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// The pod names a run whose status Tekton has not yet written.
    #[error("Tekton has not written yet what the caller's pod works for")]
    NotYet,
    /// The API server gave no usable answer.
    #[error("the caller's pod or run could not be looked up")]
    Unavailable,
}
