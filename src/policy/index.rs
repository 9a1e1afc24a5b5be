//! Finds the policies that could match, so that a caller does not meet those of ten thousand others.
//!
//! A policy whose patterns are literal is filed under them: by namespace, ServiceAccount and repo, or by issuer, one
//! claim and repo. What has a wildcard is filed as open on that level. The index only narrows; whether a candidate
//! matches is for the policy to say.

use super::claims::texts_of;
use super::matching::Policy;
use super::patterns::Patterns;
use super::subject::Subject;
use crate::model::caller::Caller;
use crate::model::request::Request;
use std::collections::HashMap;
use std::sync::Arc;

/// In how many places one subject may be filed; with more literals than that a level is filed as open.
const MAX_PLACES: usize = 64;

/// Places of policies in the set, ascending.
type Places = Vec<usize>;

/// One level of the index.
#[derive(Debug, Default)]
struct Level<T> {
    literal: HashMap<Box<str>, T>,
    open: T,
}

/// The whole index.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Namespace, ServiceAccount, repo.
    pods: Level<Level<Level<Places>>>,
    /// Issuer; below it the bearers.
    bearers: HashMap<Arc<str>, Bearers>,
}

#[derive(Debug, Default)]
struct Bearers {
    /// Name of a claim, its value, repo.
    by_claim: HashMap<Box<str>, HashMap<Box<str>, Level<Places>>>,
    /// Those without a literal claim; repo.
    open: Level<Places>,
}

impl Index {
    pub(super) fn new(policies: &[Arc<Policy>]) -> Self {
        let mut index = Self::default();
        for (place, policy) in policies.iter().enumerate() {
            for subject in &policy.subjects {
                index.file(subject, &policy.repos, place);
            }
        }
        index
    }

    /// Hands over every list of places that could hold a match; one place may come several times.
    pub(super) fn visit(&self, caller: &Caller, request: &Request, visit: &mut dyn FnMut(&[usize])) {
        let repo = request.repo.as_str();
        if let Some(workload) = &caller.workload {
            for namespace in self.pods.at(&workload.namespace) {
                for service_account in namespace.at(&workload.service_account) {
                    service_account.at(repo).for_each(|places| visit(places));
                }
            }
        }
        let Some(bearers) = self.bearers.get(&caller.issuer) else { return };
        for (name, values) in &bearers.by_claim {
            for text in caller.claims.get(&**name).into_iter().flat_map(texts_of) {
                values.get(&*text).into_iter().flat_map(|level| level.at(repo)).for_each(|places| visit(places));
            }
        }
        bearers.open.at(repo).for_each(|places| visit(places));
    }

    fn file(&mut self, subject: &Subject, repos: &Patterns, place: usize) {
        let mut budget = MAX_PLACES;
        match subject {
            Subject::Kubernetes { namespaces, service_accounts } => {
                let namespaces = literals(namespaces, &mut budget);
                let service_accounts = literals(service_accounts, &mut budget);
                let repos = literals(repos, &mut budget);
                self.pods.file(namespaces.as_deref(), &mut |level| {
                    level.file(service_accounts.as_deref(), &mut |level| file_place(level, repos.as_deref(), place));
                });
            }
            Subject::Oidc { issuer, claims } => {
                let repos = literals(repos, &mut budget);
                let bearers = self.bearers.entry(issuer.clone()).or_default();
                // The longest value is likely the one that fewest share: `acme/site` rather than `acme`.
                let telling = claims
                    .iter()
                    .filter_map(|(name, glob)| Some((name, glob.as_literal()?)))
                    .max_by_key(|(_, value)| value.len());
                let level = match telling {
                    Some((name, value)) => {
                        bearers.by_claim.entry(name.clone()).or_default().entry(value.into()).or_default()
                    }
                    None => &mut bearers.open,
                };
                file_place(level, repos.as_deref(), place);
            }
        }
    }
}

impl<T: Default> Level<T> {
    /// What is filed under a key, and what is filed as open.
    fn at(&self, key: &str) -> impl Iterator<Item = &T> {
        self.literal.get(key).into_iter().chain([&self.open])
    }

    /// Files under every one of the keys, or as open.
    fn file(&mut self, keys: Option<&[&str]>, file: &mut dyn FnMut(&mut T)) {
        match keys {
            Some(keys) => keys.iter().for_each(|key| file(self.literal.entry((*key).into()).or_default())),
            None => file(&mut self.open),
        }
    }
}

fn file_place(level: &mut Level<Places>, repos: Option<&[&str]>, place: usize) {
    level.file(repos, &mut |places| {
        // Several subjects of one policy come one after the other.
        if places.last() != Some(&place) {
            places.push(place);
        }
    });
}

/// The keys of a level, where the budget allows so many.
fn literals<'a>(patterns: &'a Patterns, budget: &mut usize) -> Option<Vec<&'a str>> {
    let literals = patterns.all_literal(*budget)?;
    *budget /= literals.len().max(1);
    Some(literals)
}
