//! The set of active policies, with the indices over them.

use super::cel::Inputs;
use super::compiled_policy::Policy;
use super::evaluation::Attestation;
use super::index::{EntryChange, Index, Slot};
use super::slots::{SetDifference, SlotMap};
use crate::model::caller::Caller;
use crate::model::facts::Needs;
use crate::model::request::{Request, UnverifiedRequest};
use std::sync::Arc;

/// The active policies, in bytewise order of name. It is immutable: a change creates a new set, which shares most of its
/// indices with the previous set.
#[derive(Debug, Default)]
pub struct PolicySet {
    policies: Vec<Arc<Policy>>,
    /// Maps the slots that the indices store to positions in `policies`, and back.
    slots: SlotMap,
    indices: Indices,
    /// The clusters whose policies were not read yet.
    unread_clusters: Box<[Arc<str>]>,
}

/// The indices of a set. Enforced policies are in the first three fields, policies in shadow mode only in the last.
#[derive(Debug, Clone, Default)]
struct Indices {
    /// All enforced policies, by caller and repo.
    enforced: Arc<Index>,
    /// Enforced policies with an `attest` section, by caller only, because they are evaluated for every repo.
    attesting: Arc<Index>,
    /// Enforced policies whose condition needs facts, by caller and repo.
    needing_facts: Arc<Index>,
    /// `None` if no policy is in shadow mode.
    shadow: Option<Arc<ShadowIndex>>,
}

/// The indices of the policies in shadow mode.
#[derive(Debug, Clone, Default)]
pub(super) struct ShadowIndex {
    /// All policies in shadow mode, by caller and repo.
    pub(super) index: Index,
    /// Those with an `attest` section, by caller only.
    pub(super) attesting: Index,
    policy_count: usize,
}

impl PolicySet {
    /// Creates a set. The names must be distinct; the loader checks this.
    #[must_use]
    pub fn new<P: Into<Arc<Policy>>>(policies: impl IntoIterator<Item = P>) -> Self {
        let mut policies: Vec<Arc<Policy>> = policies.into_iter().map(Into::into).collect();
        policies.sort_by(|one, other| one.name.cmp(&other.name));
        let slots = SlotMap::new(policies.len());
        let mut indices = Indices::default();
        policies
            .iter()
            .enumerate()
            .for_each(|(position, policy)| indices.change(policy, slots.slot(position), EntryChange::Add));
        Self { policies, slots, indices, unread_clusters: Box::default() }
    }

    /// A set of these policies, and its difference to this set. If only a few policies differ, the indices are copied and
    /// changed instead of rebuilt. The names must be distinct. No cluster is marked as unread.
    #[must_use]
    pub fn with_policies(&self, mut policies: Vec<Arc<Policy>>) -> (Self, SetDifference) {
        policies.sort_by(|one, other| one.name.cmp(&other.name));
        let (slots, difference) = self.slots.update(&self.policies, &policies);
        let Some(slots) = slots else { return (Self::new(policies), difference) };
        let mut indices = self.indices.clone();
        for (policy, slot) in &difference.removed {
            indices.change(policy, *slot, EntryChange::Remove);
        }
        for (policy, slot) in &difference.added {
            indices.change(policy, *slot, EntryChange::Add);
        }
        (Self { policies, slots, indices, unread_clusters: Box::default() }, difference)
    }

    /// The same set, marked as lacking the policies of these clusters.
    #[must_use]
    pub fn with_unread_clusters(self, clusters: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self { unread_clusters: clusters.into_iter().collect(), ..self }
    }

    /// The clusters whose policies are not in the set because they were not read yet. If there are any, the set must not be
    /// used for decisions: a deny policy may be missing.
    #[must_use]
    pub const fn unread_clusters(&self) -> &[Arc<str>] {
        &self.unread_clusters
    }

    /// The number of policies.
    #[must_use]
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// Whether there are no policies.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(|policy| &*policy.name)
    }

    /// The policy with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Policy>> {
        let position = self.policies.binary_search_by(|policy| (*policy.name).cmp(name)).ok()?;
        self.policies.get(position)
    }

    /// The indices of the policies in shadow mode; `None` if there are none.
    pub(super) fn shadow_index(&self) -> Option<&ShadowIndex> {
        self.indices.shadow.as_deref()
    }

    /// The policies, in order.
    #[must_use]
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// The facts that a decision needs. They are used by the enforced policies that have the caller as a subject: in `attest`, and
    /// in `condition` if the patterns of the policy could match.
    #[must_use]
    pub fn needs(&self, caller: &Caller, unverified_request: &UnverifiedRequest) -> Needs {
        let mut needs = Needs::default();
        let (repo, branch) = unverified_request.stated_parts();
        self.indices.attesting.visit(caller, repo, &mut |slots| {
            for policy in self.policies_in(slots).filter(|policy| policy.has_subject(caller)) {
                needs = needs.union(policy.attest.needs());
            }
        });
        self.indices.needing_facts.visit(caller, repo, &mut |slots| {
            for policy in self.policies_in(slots) {
                if policy.may_match(repo, branch) && policy.has_subject(caller) {
                    needs = needs.union(policy.condition_needs());
                }
            }
        });
        needs
    }

    /// The attestations of the enforced policies that have the caller as a subject, in order of the policies.
    pub(super) fn evaluate_attestations<'a>(&'a self, stated_inputs: &Inputs<'a>) -> Vec<Attestation<'a>> {
        let positions =
            self.find_positions(&self.indices.attesting, stated_inputs.caller, stated_inputs.repo, |position| {
                self.policies[position].has_subject(stated_inputs.caller)
            });
        positions
            .into_iter()
            .map(|position| Attestation::new(position, &self.policies[position], stated_inputs))
            .collect()
    }

    /// The enforced policies that could match, with their positions, in order.
    pub(super) fn candidates(&self, caller: &Caller, request: &Request) -> impl Iterator<Item = (usize, &Policy)> {
        let branch_matches = |position: usize| self.policies[position].branches.matches(request.branch.as_str());
        let positions =
            self.find_positions(&self.indices.enforced, caller, Some(request.repo.as_str()), branch_matches);
        positions.into_iter().map(|position| (position, &*self.policies[position]))
    }

    /// The enforced policies that could match or attest a recorded request. For an OIDC caller, whose claims are not recorded,
    /// these are all enforced policies.
    pub(super) fn possibly_relevant_policies(&self, caller: &Caller, request: &Request) -> Vec<&Policy> {
        let enforced = || self.policies.iter().map(|policy| &**policy).filter(|policy| !policy.is_shadow());
        if caller.service_account().is_none() {
            return enforced().collect();
        }
        let mut positions = self.find_positions(&self.indices.enforced, caller, Some(request.repo.as_str()), |_| true);
        positions.extend(self.find_positions(&self.indices.attesting, caller, None, |_| true));
        positions.sort_unstable();
        positions.dedup();
        positions.into_iter().map(|position| &*self.policies[position]).collect()
    }

    /// The positions of the policies that an index finds and that `filter` accepts, in order.
    pub(super) fn find_positions(
        &self,
        index: &Index,
        caller: &Caller,
        repo: Option<&str>,
        filter: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let mut positions: Vec<usize> = Vec::new();
        index.visit(caller, repo, &mut |slots| {
            positions.extend(slots.iter().map(|slot| self.slots.position(*slot)).filter(|position| filter(*position)));
        });
        // A policy with several subjects or repos may have been found several times.
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    /// The policies with these slots.
    fn policies_in(&self, slots: &[Slot]) -> impl Iterator<Item = &Policy> {
        slots.iter().map(|slot| &*self.policies[self.slots.position(*slot)])
    }
}

impl Indices {
    /// Adds a policy under a slot, or removes it.
    fn change(&mut self, policy: &Policy, slot: Slot, change: EntryChange) {
        if policy.is_shadow() {
            let shadow = Arc::make_mut(self.shadow.get_or_insert_default());
            shadow.index.change(policy, slot, change);
            if policy.attest.is_configured() {
                shadow.attesting.change_by_caller(policy, slot, change);
            }
            match change {
                EntryChange::Add => shadow.policy_count += 1,
                EntryChange::Remove => shadow.policy_count -= 1,
            }
            if shadow.policy_count == 0 {
                self.shadow = None;
            }
            return;
        }
        Arc::make_mut(&mut self.enforced).change(policy, slot, change);
        if policy.attest.is_configured() {
            Arc::make_mut(&mut self.attesting).change_by_caller(policy, slot, change);
        }
        if policy.condition_needs() != Needs::default() {
            Arc::make_mut(&mut self.needing_facts).change(policy, slot, change);
        }
    }
}
