//! How many tickets one caller may get from a policy.

use std::sync::Arc;

/// The limit of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketLimit {
    /// The name of the policy.
    pub policy: Arc<str>,
    /// The maximum number of tickets of one pod, or of one OIDC token.
    pub max: u32,
}
