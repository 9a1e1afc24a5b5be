//! How a policy in shadow mode would have changed the result of a request.

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

/// The change of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShadowOutcome {
    /// A refused request would be allowed, or an allowed request would get more secrets.
    WouldAllow,
    /// An allowed request would be refused.
    WouldDeny,
    /// The result would be the same.
    NoChange,
}

impl ShadowOutcome {
    /// All values.
    pub const ALL: &'static [Self] = &[Self::WouldAllow, Self::WouldDeny, Self::NoChange];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WouldAllow => "would_allow",
            Self::WouldDeny => "would_deny",
            Self::NoChange => "no_change",
        }
    }
}
