//! A reference to one revision of a policy.

use std::sync::Arc;

/// A policy that took part in a decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyRef {
    /// The name of the policy.
    pub name: Arc<str>,
    /// A digest of the policy.
    pub revision: Arc<str>,
}
