//! Errors in the TLS settings.

/// Why the TLS settings cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TrustError {
    /// The CA file cannot be used.
    #[error("the caFile cannot be read or holds no PEM certificate")]
    CaFile,
    /// The system has no CA certificates.
    #[error("no TLS roots: set caFile, or install the system's CA bundle")]
    SystemRoots,
    /// The client certificate cannot be used.
    #[error("clientCertFile and clientKeyFile cannot be read, or the key is not the certificate's")]
    ClientCertificate,
}
