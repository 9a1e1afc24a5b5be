//! Finds the policies that could match, so that a decision does not evaluate thousands of others.
//!
//! A policy is stored under the beginnings of its patterns: by namespace, ServiceAccount and repo, or by issuer,
//! one claim and repo. A literal is stored under itself, `team-a-*` under the prefix `team-a-`, and a pattern that
//! begins with a wildcard as open on that level. The index only reduces the candidates; each candidate is then
//! matched.

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

/// Indices of policies in the set, ascending.
type Places = Vec<usize>;

/// One level of the index.
#[derive(Debug, Default)]
struct Level<T> {
    literal: HashMap<Box<str>, T>,
    prefix: HashMap<Box<str>, T>,
    /// The lengths of the prefixes, ascending.
    lengths: Vec<usize>,
    open: T,
}

/// The whole index.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By namespace, ServiceAccount, repo.
    service_accounts: Level<Level<Level<Places>>>,
    /// By issuer; below it by claims.
    bearers: HashMap<Arc<str>, Bearers>,
}

#[derive(Debug, Default)]
struct Bearers {
    /// By claim name, claim value, repo.
    by_claim: HashMap<Box<str>, Level<Level<Places>>>,
    /// Policies without a claim pattern that has a literal beginning; by repo.
    open: Level<Places>,
}

impl Index {
    /// Indexes the selected policies by caller and repo.
    pub(super) fn by_repo(policies: &[Arc<Policy>], wanted: impl Fn(&Policy) -> bool) -> Self {
        Self::new(policies, wanted, |policy| Some(&policy.repos))
    }

    /// Indexes the selected policies by caller only.
    pub(super) fn by_caller(policies: &[Arc<Policy>], wanted: impl Fn(&Policy) -> bool) -> Self {
        Self::new(policies, wanted, |_| None)
    }

    fn new(
        policies: &[Arc<Policy>],
        wanted: impl Fn(&Policy) -> bool,
        repos: impl Fn(&Policy) -> Option<&Patterns>,
    ) -> Self {
        let mut index = Self::default();
        for (place, policy) in policies.iter().enumerate().filter(|(_, policy)| wanted(policy)) {
            for subject in &policy.subjects {
                index.insert(subject, repos(policy), place);
            }
        }
        index
    }

    /// Visits every list of policies that could match, for one repo or for any; an index may occur several times.
    pub(super) fn visit(&self, caller: &Caller, repo: Option<&str>, visit: &mut dyn FnMut(&[usize])) {
        if let Some((namespace, service_account)) = caller.service_account() {
            self.service_accounts.at(namespace, &mut |level| {
                level.at(service_account, &mut |level| level.places(repo, visit));
            });
        }
        let Some(bearers) = self.bearers.get(&caller.issuer) else { return };
        for (name, values) in &bearers.by_claim {
            for text in caller.claims.get(&**name).into_iter().flat_map(texts_of) {
                values.at(&text, &mut |level| level.places(repo, visit));
            }
        }
        bearers.open.places(repo, visit);
    }

    fn insert(&mut self, subject: &Subject, repos: Option<&Patterns>, place: usize) {
        let mut budget = MAX_PLACES;
        match subject {
            Subject::Kubernetes { namespaces, service_accounts, .. } => {
                let namespaces = starts(namespaces, &mut budget);
                let service_accounts = starts(service_accounts, &mut budget);
                let repos = repos.and_then(|repos| starts(repos, &mut budget));
                self.service_accounts.insert(namespaces.as_deref(), &mut |level| {
                    level
                        .insert(service_accounts.as_deref(), &mut |level| insert_index(level, repos.as_deref(), place));
                });
            }
            Subject::Oidc { issuer, claims } => {
                let repos = repos.and_then(|repos| starts(repos, &mut budget));
                let bearers = self.bearers.entry(issuer.clone()).or_default();
                // The longest text is probably the most selective: `acme/site` rather than `acme`.
                let telling = claims
                    .iter()
                    .filter_map(|(name, glob)| Some((name, glob.start()?)))
                    .max_by_key(|(_, start)| start.as_str().len());
                match telling {
                    Some((name, start)) => {
                        let values = bearers.by_claim.entry(name.clone()).or_default();
                        values.insert(Some(&[start]), &mut |level| insert_index(level, repos.as_deref(), place));
                    }
                    None => insert_index(&mut bearers.open, repos.as_deref(), place),
                }
            }
        }
    }
}

impl<T: Default> Level<T> {
    /// The entries for a text, for its prefixes, and the open ones.
    fn at(&self, text: &str, visit: &mut dyn FnMut(&T)) {
        self.literal.get(text).into_iter().for_each(&mut *visit);
        for length in self.lengths.iter().take_while(|length| **length <= text.len()) {
            if let Some(found) = text.get(..*length).and_then(|prefix| self.prefix.get(prefix)) {
                visit(found);
            }
        }
        visit(&self.open);
    }

    /// Stores the policy under each of the texts, or as open.
    fn insert(&mut self, starts: Option<&[Start]>, add: &mut dyn FnMut(&mut T)) {
        let Some(starts) = starts else { return add(&mut self.open) };
        for start in starts {
            match start {
                Start::Literal(text) => add(self.literal.entry((*text).into()).or_default()),
                Start::Prefix(text) => {
                    if let Err(at) = self.lengths.binary_search(&text.len()) {
                        self.lengths.insert(at, text.len());
                    }
                    add(self.prefix.entry((*text).into()).or_default());
                }
            }
        }
    }
}

impl Level<Places> {
    fn places(&self, repo: Option<&str>, visit: &mut dyn FnMut(&[usize])) {
        match repo {
            Some(repo) => self.at(repo, &mut |places| visit(places)),
            None => {
                self.literal.values().chain(self.prefix.values()).chain([&self.open]).for_each(|places| visit(places));
            }
        }
    }
}

fn insert_index(level: &mut Level<Places>, repos: Option<&[Start]>, place: usize) {
    level.insert(repos, &mut |places| {
        // A policy with several subjects adds its index several times in a row.
        if places.last() != Some(&place) {
            places.push(place);
        }
    });
}

/// The beginning of each pattern; `None` if one begins with a wildcard, or if there are more than the budget
/// allows.
fn starts<'a>(patterns: &'a Patterns, budget: &mut usize) -> Option<Vec<Start<'a>>> {
    let starts = patterns.starts(*budget)?;
    *budget /= starts.len().max(1);
    Some(starts)
}
