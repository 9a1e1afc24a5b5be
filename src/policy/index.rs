//! Finds the policies that could match, so that a decision does not evaluate thousands of others.
//!
//! A policy is stored under the beginnings of its patterns: by namespace, ServiceAccount and repo, or by issuer,
//! one claim and repo. A literal is stored under itself, `team-a-*` under the prefix `team-a-`, and a pattern that
//! begins with a wildcard as open on that level. The index only reduces the candidates; each candidate is then
//! matched.
//!
//! A change of one policy copies the levels on its way and shares all others with the index before it (`Arc`), so that it costs a
//! fraction of building the index anew.

use super::claims::texts_of;
use super::glob::Start;
use super::matching::Policy;
use super::patterns::Patterns;
use super::subject::Subject;
use crate::model::caller::Caller;
use std::collections::HashMap;
use std::sync::Arc;

/// Maximum number of index entries for one subject; with more patterns a level is stored as open.
const MAX_PLACES: usize = 64;

/// What a set calls a policy as long as it has it, whatever other policies come and go.
pub(super) type Slot = u32;

/// The slots of policies, each once.
type Slots = Vec<Slot>;

/// One level of the index.
#[derive(Debug, Clone)]
struct Level<T> {
    literal: HashMap<Arc<str>, Arc<T>>,
    prefix: HashMap<Arc<str>, Arc<T>>,
    /// The lengths of the prefixes, ascending.
    lengths: Vec<usize>,
    open: Option<Arc<T>>,
}

/// The whole index.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// By namespace, ServiceAccount, repo.
    service_accounts: Level<Level<Level<Slots>>>,
    /// By issuer; below it by claims.
    bearers: HashMap<Arc<str>, Arc<Bearers>>,
}

#[derive(Debug, Clone, Default)]
struct Bearers {
    /// By claim name, claim value, repo.
    by_claim: HashMap<Box<str>, Level<Level<Slots>>>,
    /// Policies without a claim pattern that has a literal beginning; by repo.
    open: Level<Slots>,
}

/// What becomes of a policy's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    Add,
    Remove,
}

/// A part of the index that is dropped when nothing is left in it.
trait Part: Clone + Default {
    fn is_empty(&self) -> bool;
}

impl Index {
    /// Adds a policy by caller and repo.
    pub(super) fn add(&mut self, policy: &Policy, slot: Slot) {
        self.edit_all(policy, Some(&policy.repos), slot, Edit::Add);
    }

    /// Removes a policy that was added by caller and repo.
    pub(super) fn remove(&mut self, policy: &Policy, slot: Slot) {
        self.edit_all(policy, Some(&policy.repos), slot, Edit::Remove);
    }

    /// Adds a policy by caller only.
    pub(super) fn add_by_caller(&mut self, policy: &Policy, slot: Slot) {
        self.edit_all(policy, None, slot, Edit::Add);
    }

    /// Removes a policy that was added by caller only.
    pub(super) fn remove_by_caller(&mut self, policy: &Policy, slot: Slot) {
        self.edit_all(policy, None, slot, Edit::Remove);
    }

    fn edit_all(&mut self, policy: &Policy, repos: Option<&Patterns>, slot: Slot, edit: Edit) {
        for subject in &policy.subjects {
            self.edit(subject, repos, slot, edit);
        }
    }

    /// Visits every list of policies that could match, for one repo or for any; a slot may occur several times.
    pub(super) fn visit(&self, caller: &Caller, repo: Option<&str>, visit: &mut dyn FnMut(&[Slot])) {
        if let Some((namespace, service_account)) = caller.service_account() {
            self.service_accounts.at(namespace, &mut |level| {
                level.at(service_account, &mut |level| level.slots(repo, visit));
            });
        }
        let Some(bearers) = self.bearers.get(&caller.issuer) else { return };
        for (name, values) in &bearers.by_claim {
            for text in caller.claims.get(&**name).into_iter().flat_map(texts_of) {
                values.at(&text, &mut |level| level.slots(repo, visit));
            }
        }
        bearers.open.slots(repo, visit);
    }

    fn edit(&mut self, subject: &Subject, repos: Option<&Patterns>, slot: Slot, edit: Edit) {
        let mut budget = MAX_PLACES;
        match subject {
            Subject::Kubernetes { namespaces, service_accounts, .. } => {
                let namespaces = starts(namespaces, &mut budget);
                let service_accounts = starts(service_accounts, &mut budget);
                let repos = repos.and_then(|repos| starts(repos, &mut budget));
                self.service_accounts.edit(namespaces.as_deref(), edit, &mut |level| {
                    level.edit(service_accounts.as_deref(), edit, &mut |level| {
                        level.edit(repos.as_deref(), edit, &mut |slots| edit_slots(slots, slot, edit));
                    });
                });
            }
            Subject::Oidc { issuer, claims } => {
                let repos = repos.and_then(|repos| starts(repos, &mut budget));
                let bearers = Arc::make_mut(self.bearers.entry(issuer.clone()).or_default());
                // The longest text is probably the most selective: `acme/site` rather than `acme`.
                let telling = claims
                    .iter()
                    .filter_map(|(name, glob)| Some((name, glob.start()?)))
                    .max_by_key(|(_, start)| start.as_str().len());
                let edit_slots = &mut |slots: &mut Slots| edit_slots(slots, slot, edit);
                match telling {
                    Some((name, start)) => {
                        let values = bearers.by_claim.entry(name.clone()).or_default();
                        values.edit(Some(&[start]), edit, &mut |level| level.edit(repos.as_deref(), edit, edit_slots));
                        if values.is_empty() {
                            bearers.by_claim.remove(name);
                        }
                    }
                    None => bearers.open.edit(repos.as_deref(), edit, edit_slots),
                }
                if bearers.by_claim.is_empty() && bearers.open.is_empty() {
                    self.bearers.remove(issuer);
                }
            }
        }
    }
}

impl<T> Level<T> {
    /// The entries for a text, for its prefixes, and the open ones.
    fn at(&self, text: &str, visit: &mut dyn FnMut(&T)) {
        self.literal.get(text).into_iter().for_each(|found| visit(found));
        for length in self.lengths.iter().take_while(|length| **length <= text.len()) {
            if let Some(found) = text.get(..*length).and_then(|prefix| self.prefix.get(prefix)) {
                visit(found);
            }
        }
        self.open.iter().for_each(|open| visit(open));
    }
}

impl<T: Part> Level<T> {
    /// Edits what is stored under each of the texts, or as open.
    fn edit(&mut self, starts: Option<&[Start]>, edit: Edit, change: &mut dyn FnMut(&mut T)) {
        let Some(starts) = starts else {
            if edit == Edit::Add || self.open.is_some() {
                let open = Arc::make_mut(self.open.get_or_insert_default());
                change(open);
                if open.is_empty() {
                    self.open = None;
                }
            }
            return;
        };
        for start in starts {
            match start {
                Start::Literal(text) => edit_entry(&mut self.literal, text, edit, change),
                Start::Prefix(text) => {
                    edit_entry(&mut self.prefix, text, edit, change);
                    self.edit_length(text.len(), edit);
                }
            }
        }
    }

    fn edit_length(&mut self, length: usize, edit: Edit) {
        match (self.lengths.binary_search(&length), edit) {
            (Err(at), Edit::Add) => self.lengths.insert(at, length),
            (Ok(at), Edit::Remove) if !self.prefix.keys().any(|prefix| prefix.len() == length) => {
                self.lengths.remove(at);
            }
            _ => {}
        }
    }
}

fn edit_entry<T: Part>(
    entries: &mut HashMap<Arc<str>, Arc<T>>,
    text: &str,
    edit: Edit,
    change: &mut dyn FnMut(&mut T),
) {
    if let Some(entry) = entries.get_mut(text) {
        let entry = Arc::make_mut(entry);
        change(entry);
        if entry.is_empty() {
            entries.remove(text);
        }
    } else if edit == Edit::Add {
        let mut entry = T::default();
        change(&mut entry);
        entries.insert(text.into(), Arc::new(entry));
    }
}

impl Level<Slots> {
    fn slots(&self, repo: Option<&str>, visit: &mut dyn FnMut(&[Slot])) {
        match repo {
            Some(repo) => self.at(repo, &mut |slots| visit(slots)),
            None => self.literal.values().chain(self.prefix.values()).chain(&self.open).for_each(|slots| visit(slots)),
        }
    }
}

impl<T> Default for Level<T> {
    fn default() -> Self {
        Self { literal: HashMap::new(), prefix: HashMap::new(), lengths: Vec::new(), open: None }
    }
}

impl<T: Clone> Part for Level<T> {
    fn is_empty(&self) -> bool {
        self.literal.is_empty() && self.prefix.is_empty() && self.open.is_none()
    }
}

impl Part for Slots {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

fn edit_slots(slots: &mut Slots, slot: Slot, edit: Edit) {
    match edit {
        // A policy with several subjects adds its slot several times in a row.
        Edit::Add if slots.last() != Some(&slot) => slots.push(slot),
        Edit::Add => {}
        Edit::Remove => slots.retain(|one| *one != slot),
    }
}

/// The beginning of each pattern; `None` if one begins with a wildcard, or if there are more than the budget
/// allows.
fn starts<'a>(patterns: &'a Patterns, budget: &mut usize) -> Option<Vec<Start<'a>>> {
    let starts = patterns.starts(*budget)?;
    *budget /= starts.len().max(1);
    Some(starts)
}
