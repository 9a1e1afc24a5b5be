//! A fault in a kubeconfig, with the field that has it.

use std::fmt;

/// A value in a kubeconfig that cannot be used.
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
