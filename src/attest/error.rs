//! Why there are no facts.

/// Why there are no facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// The pod claims a run that Tekton has not written into a status yet, and may.
    #[error("Tekton has not written yet what the caller's pod works for")]
    NotYet,
    /// The API server gave no usable answer, so that nobody knows.
    #[error("the caller's pod or run could not be looked up")]
    Unavailable,
}
