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
    pub caller_or_repo: String,
}

closed_enum! {
    /// A kind of use.
    pub enum UseKind {
        /// The policy matched.
        Matched => "matched",
        /// The secret was read.
        Read => "read",
        /// The policy or secret was used by a caller.
        Caller => "caller",
        /// The policy or secret was used for a repo.
        Repo => "repo",
    }
}
