//! A list of patterns, one of which must match.

use super::glob::{Glob, Start};
use crate::document::Fault;

/// The most entries that any list in a policy may have.
pub(super) const MAX_ENTRIES: usize = 1000;

/// At least one pattern.
#[derive(Debug, Clone)]
pub(super) struct Patterns(Box<[Glob]>);

impl Patterns {
    /// Compiles a list; notes every fault and then yields nothing.
    pub(super) fn compile(raw: &[Option<String>], pointer: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        if raw.is_empty() {
            faults.push(Fault::new(pointer, "must have at least one pattern"));
            return None;
        }
        if raw.len() > MAX_ENTRIES {
            faults.push(Fault::new(pointer, "must have at most 1000 patterns"));
            return None;
        }
        let globs: Vec<_> = raw
            .iter()
            .enumerate()
            .map(|(index, text)| compile_one(text.as_deref(), || format!("{pointer}/{index}"), faults))
            .collect();
        globs.into_iter().collect::<Option<_>>().map(Self)
    }

    /// Whether one of them matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|glob| glob.matches(text))
    }

    /// The texts of those that have no wildcard.
    pub(super) fn literals(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(Glob::as_literal)
    }

    /// What each of them begins with, where none begins with a wildcard and there are at most so many.
    pub(super) fn starts(&self, most: usize) -> Option<Vec<Start<'_>>> {
        if self.0.len() > most { None } else { self.0.iter().map(Glob::start).collect() }
    }
}

/// Compiles one pattern, or notes why not.
pub(super) fn compile_one(
    text: Option<&str>,
    pointer: impl FnOnce() -> String,
    faults: &mut Vec<Fault>,
) -> Option<Glob> {
    match text.map(Glob::parse) {
        Some(Ok(glob)) => return Some(glob),
        Some(Err(reason)) => faults.push(Fault::new(pointer(), reason.to_string())),
        None => faults.push(Fault::new(pointer(), "must be a string")),
    }
    None
}
