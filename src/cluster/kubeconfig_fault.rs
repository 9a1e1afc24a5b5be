//! A fault in a kubeconfig, with its place.

use std::fmt;

/// Something in a kubeconfig that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeconfigFault {
    /// Where, as `users[0].user.token`.
    pub place: String,
    /// What is wrong, and what to write instead. It repeats no value.
    pub detail: &'static str,
}

impl fmt::Display for KubeconfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.detail)
    }
}
