//! Why a path is not what its policy takes it for. All of it is `store_misconfigured`, each with a sentence of its own.

/// What a path is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unsuitable {
    /// The engine answers a write only.
    #[error(
        "the path's engine does not answer a read: it wants a write, which the policy's secret has to name (write: {{...}})"
    )]
    WantsWrite,
    /// The engine answers no write there.
    #[error("the path's engine does not answer a write: the policy's secret must not name one")]
    TakesNoWrite,
    /// A write would replace the secret.
    #[error(
        "the store keeps the secret at this path: a write would replace it, and the policy's secret must not name one"
    )]
    KeepsSecrets,
    /// There are no keys and values.
    #[error("the path's answer is not JSON, and so it has no keys and values")]
    NotJson,
}
