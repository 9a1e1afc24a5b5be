//! An index that finds the policies that could match, so that a decision does not evaluate all policies.
//!
//! A policy is stored under the beginnings of its patterns: by namespace, ServiceAccount and repo, or by issuer,
//! one claim and repo. A literal is stored under itself, `team-a-*` under the prefix `team-a-`. A pattern that begins with
//! a wildcard, or a list with too many patterns, is stored under `any`. The index only reduces the candidates; each candidate
//! is then matched.
//!
//! Adding or removing a policy copies the levels that lead to it, and shares the others with the previous index (`Arc`).
//! This costs a fraction of building a new index.

use super::claims::claim_to_texts;
use super::compiled_policy::Policy;
use super::glob::CommonStart;
use super::patterns::Patterns;
use super::subject::Subject;
use crate::model::caller::Caller;
use std::collections::HashMap;
use std::sync::Arc;

/// Maximum number of index entries for one subject. A level that would exceed it stores the subject under `any`.
const MAX_ENTRIES_OF_SUBJECT: usize = 64;

/// The number of a policy in the indices of a set. A set whose indices were copied from another set keeps its slots.
pub(super) type Slot = u32;

/// The slots of policies, without duplicates.
type SlotList = Vec<Slot>;

/// One level of the index.
#[derive(Debug, Clone)]
struct Level<T> {
    by_literal: HashMap<Arc<str>, Arc<T>>,
    by_prefix: HashMap<Arc<str>, Arc<T>>,
    /// The distinct lengths of the prefixes, ascending.
    prefix_lengths: Vec<usize>,
    /// For patterns that begin with a wildcard, and for lists with too many patterns.
    any: Option<Arc<T>>,
}

/// The whole index.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// By namespace, ServiceAccount and repo.
    by_service_account: Level<Level<Level<SlotList>>>,
    by_issuer: HashMap<Arc<str>, Arc<IssuerIndex>>,
}

/// The policies of one OIDC issuer.
#[derive(Debug, Clone, Default)]
struct IssuerIndex {
    /// By claim name, claim value and repo.
    by_claim: HashMap<Box<str>, Level<Level<SlotList>>>,
    /// By repo: policies with a subject whose claim patterns all begin with a wildcard.
    by_repo: Level<SlotList>,
}

/// The change of a policy's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryChange {
    Add,
    Remove,
}

/// A part of the index that is removed when it becomes empty.
trait IndexPart: Clone + Default {
    fn is_empty(&self) -> bool;
}

impl Index {
    /// Adds or removes a policy under its callers and repos.
    pub(super) fn change(&mut self, policy: &Policy, slot: Slot, change: EntryChange) {
        policy.subjects.iter().for_each(|subject| self.change_subject(subject, Some(&policy.repos), slot, change));
    }

    /// Adds or removes a policy under its callers, for any repo.
    pub(super) fn change_by_caller(&mut self, policy: &Policy, slot: Slot, change: EntryChange) {
        policy.subjects.iter().for_each(|subject| self.change_subject(subject, None, slot, change));
    }

    /// Visits the slots of the policies that could match this caller and repo; with `None`, those for any repo. A slot may be
    /// visited several times.
    pub(super) fn visit(&self, caller: &Caller, repo: Option<&str>, visit: &mut dyn FnMut(&[Slot])) {
        if let Some((namespace, service_account)) = caller.service_account() {
            self.by_service_account.visit(namespace, &mut |level| {
                level.visit(service_account, &mut |level| level.visit_slots(repo, visit));
            });
        }
        let Some(issuer) = self.by_issuer.get(&caller.issuer) else { return };
        for (name, values) in &issuer.by_claim {
            for text in caller.claims.get(&**name).into_iter().flat_map(claim_to_texts) {
                values.visit(&text, &mut |level| level.visit_slots(repo, visit));
            }
        }
        issuer.by_repo.visit_slots(repo, visit);
    }

    fn change_subject(&mut self, subject: &Subject, repos: Option<&Patterns>, slot: Slot, change: EntryChange) {
        let mut budget = MAX_ENTRIES_OF_SUBJECT;
        match subject {
            Subject::Kubernetes { namespaces, service_accounts, .. } => {
                let namespaces = common_starts(namespaces, &mut budget);
                let service_accounts = common_starts(service_accounts, &mut budget);
                let repos = repos.and_then(|repos| common_starts(repos, &mut budget));
                self.by_service_account.change(namespaces.as_deref(), change, &mut |level| {
                    level.change(service_accounts.as_deref(), change, &mut |level| {
                        level.change(repos.as_deref(), change, &mut |slots| change_slots(slots, slot, change));
                    });
                });
            }
            Subject::Oidc { issuer, claims } => {
                let repos = repos.and_then(|repos| common_starts(repos, &mut budget));
                let issuer_index = Arc::make_mut(self.by_issuer.entry(issuer.clone()).or_default());
                // The longest beginning is probably the most selective: `acme/site` rather than `acme`.
                let selective_claim = claims
                    .iter()
                    .filter_map(|(name, glob)| Some((name, glob.common_start()?)))
                    .max_by_key(|(_, start)| start.as_str().len());
                let change_repo = &mut |slots: &mut SlotList| change_slots(slots, slot, change);
                match selective_claim {
                    Some((name, start)) => {
                        let values = issuer_index.by_claim.entry(name.clone()).or_default();
                        values.change(Some(&[start]), change, &mut |level| {
                            level.change(repos.as_deref(), change, change_repo);
                        });
                        if values.is_empty() {
                            issuer_index.by_claim.remove(name);
                        }
                    }
                    None => issuer_index.by_repo.change(repos.as_deref(), change, change_repo),
                }
                if issuer_index.by_claim.is_empty() && issuer_index.by_repo.is_empty() {
                    self.by_issuer.remove(issuer);
                }
            }
        }
    }
}

impl<T> Level<T> {
    /// Visits the entries of a text: of the literal, of its prefixes, and `any`.
    fn visit(&self, text: &str, visit: &mut dyn FnMut(&T)) {
        self.by_literal.get(text).into_iter().for_each(|entry| visit(entry));
        for length in self.prefix_lengths.iter().take_while(|length| **length <= text.len()) {
            if let Some(entry) = text.get(..*length).and_then(|prefix| self.by_prefix.get(prefix)) {
                visit(entry);
            }
        }
        self.any.iter().for_each(|entry| visit(entry));
    }
}

impl<T: IndexPart> Level<T> {
    /// Changes the entries for these starts, or the entry `any` if `starts` is `None`.
    fn change(&mut self, starts: Option<&[CommonStart]>, change: EntryChange, update: &mut dyn FnMut(&mut T)) {
        let Some(starts) = starts else {
            if change == EntryChange::Add || self.any.is_some() {
                let entry = Arc::make_mut(self.any.get_or_insert_default());
                update(entry);
                if entry.is_empty() {
                    self.any = None;
                }
            }
            return;
        };
        for start in starts {
            match start {
                CommonStart::Literal(text) => change_entry(&mut self.by_literal, text, change, update),
                CommonStart::Prefix(text) => {
                    change_entry(&mut self.by_prefix, text, change, update);
                    self.change_prefix_length(text.len(), change);
                }
            }
        }
    }

    fn change_prefix_length(&mut self, length: usize, change: EntryChange) {
        match (self.prefix_lengths.binary_search(&length), change) {
            (Err(index), EntryChange::Add) => self.prefix_lengths.insert(index, length),
            (Ok(index), EntryChange::Remove) if !self.by_prefix.keys().any(|prefix| prefix.len() == length) => {
                self.prefix_lengths.remove(index);
            }
            _ => {}
        }
    }
}

fn change_entry<T: IndexPart>(
    entries: &mut HashMap<Arc<str>, Arc<T>>,
    text: &str,
    change: EntryChange,
    update: &mut dyn FnMut(&mut T),
) {
    if let Some(entry) = entries.get_mut(text) {
        let entry = Arc::make_mut(entry);
        update(entry);
        if entry.is_empty() {
            entries.remove(text);
        }
    } else if change == EntryChange::Add {
        let mut entry = T::default();
        update(&mut entry);
        entries.insert(text.into(), Arc::new(entry));
    }
}

impl Level<SlotList> {
    fn visit_slots(&self, repo: Option<&str>, visit: &mut dyn FnMut(&[Slot])) {
        match repo {
            Some(repo) => self.visit(repo, &mut |slots| visit(slots)),
            None => {
                self.by_literal.values().chain(self.by_prefix.values()).chain(&self.any).for_each(|slots| visit(slots));
            }
        }
    }
}

impl<T> Default for Level<T> {
    fn default() -> Self {
        Self { by_literal: HashMap::new(), by_prefix: HashMap::new(), prefix_lengths: Vec::new(), any: None }
    }
}

impl<T: Clone> IndexPart for Level<T> {
    fn is_empty(&self) -> bool {
        self.by_literal.is_empty() && self.by_prefix.is_empty() && self.any.is_none()
    }
}

impl IndexPart for SlotList {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

fn change_slots(slots: &mut SlotList, slot: Slot, change: EntryChange) {
    match change {
        // A policy with several subjects adds its slot several times in a row, so only the last slot can be a duplicate.
        EntryChange::Add if slots.last() != Some(&slot) => slots.push(slot),
        EntryChange::Add => {}
        EntryChange::Remove => slots.retain(|other| *other != slot),
    }
}

/// The common start of each pattern; `None` if one begins with a wildcard, or if there are more patterns than the budget
/// allows. Divides the budget by their number.
fn common_starts<'a>(patterns: &'a Patterns, budget: &mut usize) -> Option<Vec<CommonStart<'a>>> {
    let starts = patterns.common_starts(*budget)?;
    *budget /= starts.len().max(1);
    Some(starts)
}
