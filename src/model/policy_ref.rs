//! A policy and its revision.

use std::sync::Arc;

/// A policy that took part in a decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyRef {
    /// The name of the policy.
    pub name: Arc<str>,
    /// A digest that changes with the policy.
    pub revision: Arc<str>,
}
