//! The active policies.

use super::cel::Scene;
use super::evaluation::Attestation;
use super::index::{Index, Slot};
use super::matching::Policy;
use super::slots::{SetDifference, Slots};
use crate::model::branch::Branch;
use crate::model::caller::Caller;
use crate::model::facts::{Facts, Needs};
use crate::model::repo::Repo;
use crate::model::request::{Request, UnverifiedRequest};
use std::sync::Arc;

/// The active policies, in bytewise order of name. Immutable: a change creates a new set, which shares most of its parts with the
/// one before.
#[derive(Debug, Default)]
pub struct PolicySet {
    policies: Vec<Arc<Policy>>,
    /// Where the policies are that the indices name.
    slots: Slots,
    indices: Indices,
    /// The clusters whose policies were not read yet.
    unread: Box<[Arc<str>]>,
}

/// The indices of a set. A policy is in the first three, or in those of shadow mode.
#[derive(Debug, Clone, Default)]
struct Indices {
    /// Those that are enforced, by caller and repo.
    enforced: Arc<Index>,
    /// Policies with an `attest` section, by caller only: they are evaluated for every repo.
    attesting: Arc<Index>,
    /// Policies whose condition needs facts, by caller and repo.
    needing_facts: Arc<Index>,
    /// Those in shadow mode, if there are any. The other indices are of policies that are enforced.
    shadow: Option<Arc<ShadowIndex>>,
}

/// The policies in shadow mode.
#[derive(Debug, Clone, Default)]
pub(super) struct ShadowIndex {
    /// By caller and repo.
    pub(super) index: Index,
    /// Those with an `attest` section, by caller alone.
    pub(super) attesting: Index,
    count: usize,
}

impl PolicySet {
    /// Creates a set. The names must be distinct; the loader checks this.
    #[must_use]
    pub fn new<P: Into<Arc<Policy>>>(policies: impl IntoIterator<Item = P>) -> Self {
        let mut policies: Vec<Arc<Policy>> = policies.into_iter().map(Into::into).collect();
        policies.sort_by(|one, other| one.name.cmp(&other.name));
        let slots = Slots::of(policies.len());
        let mut indices = Indices::default();
        policies.iter().enumerate().for_each(|(place, policy)| indices.add(policy, slots.slot(place)));
        Self { policies, slots, indices, unread: Box::default() }
    }

    /// The set of these policies, made from this one: after a change of a few the indices are not built anew. Returns what the two
    /// differ by as well. The names must be distinct.
    #[must_use]
    pub fn replaced(&self, mut policies: Vec<Arc<Policy>>) -> (Self, SetDifference) {
        policies.sort_by(|one, other| one.name.cmp(&other.name));
        let (slots, difference) = self.slots.moved(&self.policies, &policies);
        let Some(slots) = slots else { return (Self::new(policies), difference) };
        let mut indices = self.indices.clone();
        for (policy, slot) in &difference.gone {
            indices.remove(policy, *slot);
        }
        for (policy, slot) in &difference.new {
            indices.add(policy, *slot);
        }
        (Self { policies, slots, indices, unread: Box::default() }, difference)
    }

    /// The same set, which lacks the policies of these clusters because they were not read yet.
    #[must_use]
    pub fn without(self, unread: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self { unread: unread.into_iter().collect(), ..self }
    }

    /// The clusters whose policies are not in it because they were not read yet. While there is one, no decision is good: a deny
    /// policy may be missing.
    #[must_use]
    pub const fn unread(&self) -> &[Arc<str>] {
        &self.unread
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

    /// The policy of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Policy>> {
        let place = self.policies.binary_search_by(|policy| (*policy.name).cmp(name)).ok()?;
        self.policies.get(place)
    }

    /// The policies in shadow mode, if there are any.
    pub(super) fn shadow_index(&self) -> Option<&ShadowIndex> {
        self.indices.shadow.as_deref()
    }

    /// The policies, in order.
    #[must_use]
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// The facts that expressions of enforced policies name which have to be evaluated: attestations of all that speak of the
    /// caller, and conditions of those whose patterns could fit as well.
    #[must_use]
    pub fn needs(&self, caller: &Caller, asked: &UnverifiedRequest) -> Needs {
        let mut needs = Needs::default();
        let repo = asked.repo.as_ref().map(Repo::as_str);
        let branch = asked.branch.as_ref().map(Branch::as_str);
        self.indices.attesting.visit(caller, repo, &mut |slots| {
            for policy in self.at(slots).filter(|policy| policy.has_subject(caller)) {
                needs = needs.and(policy.attest.needs());
            }
        });
        self.indices.needing_facts.visit(caller, repo, &mut |slots| {
            for policy in self.at(slots) {
                let could_fit = repo.is_none_or(|repo| policy.repos.matches(repo))
                    && branch.is_none_or(|branch| policy.branches.matches(branch));
                if could_fit && policy.has_subject(caller) {
                    needs = needs.and(policy.condition_needs());
                }
            }
        });
        needs
    }

    /// What the enforced policies that have the caller as a subject attest, in order.
    pub(super) fn attestations<'a>(
        &'a self,
        caller: &'a Caller,
        facts: &'a Facts,
        asked: &'a UnverifiedRequest,
    ) -> Vec<Attestation<'a>> {
        let repo = asked.repo.as_ref().map(Repo::as_str);
        let branch = asked.branch.as_ref().map(Branch::as_str);
        let scene = Scene { caller, facts, asked, repo, branch };
        let found = self.found(&self.indices.attesting, caller, repo, |place| self.policies[place].has_subject(caller));
        found.into_iter().map(|place| Attestation::new(place, &self.policies[place], &scene)).collect()
    }

    /// What the policy at this place attests.
    pub(super) fn attestation<'a>(
        &'a self,
        place: usize,
        caller: &'a Caller,
        facts: &'a Facts,
        asked: &'a UnverifiedRequest,
    ) -> Attestation<'a> {
        let repo = asked.repo.as_ref().map(Repo::as_str);
        let branch = asked.branch.as_ref().map(Branch::as_str);
        Attestation::new(place, &self.policies[place], &Scene { caller, facts, asked, repo, branch })
    }

    /// The enforced policies that could match, in order, with their places.
    pub(super) fn candidates(&self, caller: &Caller, request: &Request) -> impl Iterator<Item = (usize, &Policy)> {
        let fits = |place: usize| self.policies[place].branches.matches(request.branch.as_str());
        let found = self.found(&self.indices.enforced, caller, Some(request.repo.as_str()), fits);
        found.into_iter().map(|place| (place, &*self.policies[place]))
    }

    /// The enforced policies that could match, or whose attestation could refuse the request, if claims are not known.
    pub(super) fn relevant(&self, caller: &Caller, request: &Request) -> Vec<&Policy> {
        let enforced = || self.policies.iter().map(|policy| &**policy).filter(|policy| !policy.is_shadow());
        if caller.service_account().is_none() {
            return enforced().collect();
        }
        let mut places = self.found(&self.indices.enforced, caller, Some(request.repo.as_str()), |_| true);
        places.extend(self.found(&self.indices.attesting, caller, None, |_| true));
        places.sort_unstable();
        places.dedup();
        places.into_iter().map(|place| &*self.policies[place]).collect()
    }

    /// The places of policies that an index names, in order.
    pub(super) fn found(
        &self,
        index: &Index,
        caller: &Caller,
        repo: Option<&str>,
        fits: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let mut found: Vec<usize> = Vec::new();
        index.visit(caller, repo, &mut |slots| {
            found.extend(slots.iter().map(|slot| self.slots.place(*slot)).filter(|place| fits(*place)));
        });
        // A policy with several subjects or repos may have been found several times.
        found.sort_unstable();
        found.dedup();
        found
    }

    fn at(&self, slots: &[Slot]) -> impl Iterator<Item = &Policy> {
        slots.iter().map(|slot| &*self.policies[self.slots.place(*slot)])
    }
}

impl Indices {
    fn add(&mut self, policy: &Policy, slot: Slot) {
        if policy.is_shadow() {
            let shadow = Arc::make_mut(self.shadow.get_or_insert_default());
            shadow.count += 1;
            shadow.index.add(policy, slot);
            if policy.attest.is_some() {
                shadow.attesting.add_by_caller(policy, slot);
            }
            return;
        }
        Arc::make_mut(&mut self.enforced).add(policy, slot);
        if policy.attest.is_some() {
            Arc::make_mut(&mut self.attesting).add_by_caller(policy, slot);
        }
        if policy.condition_needs() != Needs::default() {
            Arc::make_mut(&mut self.needing_facts).add(policy, slot);
        }
    }

    /// Removes a policy that was added under this slot.
    fn remove(&mut self, policy: &Policy, slot: Slot) {
        if policy.is_shadow() {
            let Some(shadow) = &mut self.shadow else { return };
            let shadow = Arc::make_mut(shadow);
            shadow.count -= 1;
            shadow.index.remove(policy, slot);
            shadow.attesting.remove_by_caller(policy, slot);
            if shadow.count == 0 {
                self.shadow = None;
            }
            return;
        }
        Arc::make_mut(&mut self.enforced).remove(policy, slot);
        if policy.attest.is_some() {
            Arc::make_mut(&mut self.attesting).remove_by_caller(policy, slot);
        }
        if policy.condition_needs() != Needs::default() {
            Arc::make_mut(&mut self.needing_facts).remove(policy, slot);
        }
    }
}
