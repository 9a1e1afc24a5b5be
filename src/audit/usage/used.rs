//! A use of a policy or of a secret, as it is counted.

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
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Read => "read",
            Self::Caller => "caller",
            Self::Repo => "repo",
        }
    }
}
