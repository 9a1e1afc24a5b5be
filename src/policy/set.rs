//! The policies in force.

use super::index::Index;
use super::matching::Policy;
use crate::model::caller::Caller;
use crate::model::request::Request;
use std::sync::Arc;

/// The policies in force, in bytewise order of name. Immutable: a change makes a new set.
#[derive(Debug, Default)]
pub struct PolicySet {
    policies: Vec<Arc<Policy>>,
    index: Index,
}

impl PolicySet {
    /// A set of policies. No two may have one name: that is for their loader to see.
    #[must_use]
    pub fn new<P: Into<Arc<Policy>>>(policies: impl IntoIterator<Item = P>) -> Self {
        let mut policies: Vec<Arc<Policy>> = policies.into_iter().map(Into::into).collect();
        policies.sort_by(|one, other| one.name.cmp(&other.name));
        let index = Index::new(&policies);
        Self { policies, index }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(|policy| &*policy.name)
    }

    /// The policies themselves, in order.
    #[must_use]
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// Those that match, in order.
    pub(super) fn matching(&self, caller: &Caller, request: &Request) -> Vec<&Policy> {
        let mut found: Vec<usize> = Vec::new();
        self.index.visit(caller, request, &mut |candidates| {
            found.extend(candidates.iter().filter(|at| self.policies[**at].mismatch(caller, request).is_none()));
        });
        // A policy with several subjects or repos may have been met in several places.
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|at| &*self.policies[at]).collect()
    }
}
