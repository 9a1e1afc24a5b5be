//! Which policy, and which of its revisions.

use std::sync::Arc;

/// A policy that took part in a decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyRef {
    /// Its name.
    pub name: Arc<str>,
    /// Its revision: changes whenever the policy does.
    pub revision: Arc<str>,
}
