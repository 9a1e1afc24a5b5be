//! Lists of patterns; one of them must match.

use super::glob::{Glob, Start};
use crate::document::Fault;

/// Maximum number of entries in any list of a policy.
pub(super) const MAX_ENTRIES: usize = 1000;

/// Never empty.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Patterns(Box<[Glob]>);

impl Patterns {
    /// Compiles a list; records all faults and then returns `None`.
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

    /// The patterns without a wildcard, as text.
    pub(super) fn literals(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(Glob::as_literal)
    }

    /// The beginning of each pattern; `None` if one begins with a wildcard, or if there are more than `most`.
    pub(super) fn starts(&self, most: usize) -> Option<Vec<Start<'_>>> {
        if self.0.len() > most { None } else { self.0.iter().map(Glob::start).collect() }
    }
}

/// Compiles one pattern, or records the fault.
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
