//! The lists of names whose length is limited.

use super::policy_use::{PolicyUse, UseKind};

/// Maximum number of callers, and of repos, that are kept for one secret of a policy.
pub(super) const MAX_NAMES: i64 = 1000;

/// The callers, or the repos, of one secret of a policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NameList {
    policy: String,
    store: String,
    path: String,
    kind: UseKind,
}

impl NameList {
    /// The list that a use belongs to; `None` if the use has no name.
    pub(super) fn of(used: &PolicyUse) -> Option<Self> {
        let PolicyUse { policy, store, path, kind, .. } = used;
        matches!(kind, UseKind::Caller | UseKind::Repo).then(|| Self {
            policy: policy.clone(),
            store: store.clone(),
            path: path.clone(),
            kind: *kind,
        })
    }

    /// Policy, store, path and kind.
    pub(super) fn columns(&self) -> [&str; 4] {
        [&self.policy, &self.store, &self.path, self.kind.as_str()]
    }
}
