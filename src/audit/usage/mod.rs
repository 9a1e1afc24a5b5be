//! When policies matched and secrets were read, kept beyond the retention of the events that say so.
//!
//! The table `policy_usage` is filled from the log in the background, so that no request pays for it. It holds times of last use
//! only: counting an event twice changes nothing. So replicas need not take turns, and events that become visible late, or while a
//! replica was away, are counted like the others.

mod event;
mod table;

pub use event::UsageEvent;
pub use table::{Usage, UsageError, UsageTimes, UsedBy};

/// A use of a policy or of a secret, by an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The policy.
    pub policy: String,
    /// The store; empty where the use is of the policy alone.
    pub store: String,
    /// The path template; empty where the use is of the policy alone.
    pub path: String,
    /// The kind of use.
    pub kind: UseKind,
    /// The caller or repo; empty for the other kinds.
    pub name: String,
}

/// A kind of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UseKind {
    /// The policy matched.
    Matched,
    /// The secret was read.
    Read,
    /// A caller used it.
    Caller,
    /// It was used for a repo.
    Repo,
}

impl UseKind {
    /// The value in the table.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Read => "read",
            Self::Caller => "caller",
            Self::Repo => "repo",
        }
    }
}
