//! Why no client could be built, and the faults of a kubeconfig.

use std::{fmt, io};

/// Why no client could be built. Error texts of `kube` are not used, because its YAML errors quote the kubeconfig, which
/// contains credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be read.
    #[error("the kubeconfig cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    /// The file is not a kubeconfig, or its current context is incomplete.
    #[error("is not a kubeconfig with a complete current context")]
    NotAKubeconfig,
    /// Values in the kubeconfig, or in a file it refers to, cannot be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Vec<KubeconfigFault>),
    /// There is no kubeconfig, and this process does not run in a cluster.
    #[error("there is no kubeconfig, and the process does not run in a cluster")]
    NotInCluster,
    /// The address, the certificates or the credentials cannot be used.
    #[error("the cluster's address, certificates or credentials cannot be used")]
    Unusable,
}

/// A value in a kubeconfig that cannot be used or, as a warning, works but should be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeconfigFault {
    /// The field, such as `users[0].user.token`.
    pub field: String,
    /// What is wrong and what to write instead. Contains no value from the file.
    pub detail: &'static str,
}

impl fmt::Display for KubeconfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.detail)
    }
}
