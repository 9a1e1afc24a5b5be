//! How a policy in shadow mode (`mode: audit`) would have changed the result of a request.

use std::sync::Arc;

/// The result of one policy with `mode: audit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowVerdict {
    /// The name of the policy.
    pub policy: Arc<str>,
    /// Whether it is a deny policy.
    pub denies: bool,
    /// How the result would change if this policy were enforced too.
    pub outcome: ShadowOutcome,
}

closed_enum! {
    /// The change of a result. Names as in the metric's label and in audit events.
    pub enum ShadowOutcome {
        /// A refused request would be allowed, or an allowed request would get more secrets.
        WouldAllow => "would_allow",
        /// An allowed request would be refused.
        WouldDeny => "would_deny",
        /// The result would be the same.
        NoChange => "no_change",
    }
}
