//! The maximum number of tickets that a policy grants to one caller.

use std::sync::Arc;

/// The limit of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketLimit {
    /// The name of the policy.
    pub policy: Arc<str>,
    /// The maximum number of tickets per pod, or per OIDC token (`jti`).
    pub max: u32,
}
