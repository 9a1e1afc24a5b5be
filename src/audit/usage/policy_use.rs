//! A use of a policy or of one of its secrets, as it is stored.

/// A use of a policy or of one of its secrets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyUse {
    /// The policy.
    pub policy: String,
    /// The store of the secret; empty for a use of the policy only.
    pub store: String,
    /// The path template of the secret; empty for a use of the policy only.
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
    /// The policy or secret was used by a caller.
    Caller,
    /// The policy or secret was used for a repo.
    Repo,
}

impl UseKind {
    /// The value in the column `kind`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Read => "read",
            Self::Caller => "caller",
            Self::Repo => "repo",
        }
    }
}
