//! Lists of patterns, of which one must match.

use super::glob::{CommonStart, Glob};
use crate::document::Fault;

/// Maximum number of entries in any list of a policy.
pub(super) const MAX_ENTRIES: usize = 1000;

/// A list of patterns, never empty.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Patterns(Box<[Glob]>);

impl Patterns {
    /// Compiles a list. If patterns are invalid, records all faults and returns `None`.
    pub(super) fn compile(raw: &[Option<String>], pointer: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        if raw.is_empty() {
            return Fault::record_none(faults, pointer, "must have at least one pattern");
        }
        if raw.len() > MAX_ENTRIES {
            return Fault::record_none(faults, pointer, "must have at most 1000 patterns");
        }
        let globs: Vec<_> = raw
            .iter()
            .enumerate()
            .map(|(index, text)| compile_pattern(text.as_deref(), || format!("{pointer}/{index}"), faults))
            .collect();
        globs.into_iter().collect::<Option<_>>().map(Self)
    }

    /// Whether one of the patterns matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|glob| glob.matches(text))
    }

    /// The patterns that have no wildcard.
    pub(super) fn literals(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(Glob::as_literal)
    }

    /// The patterns, if none has a wildcard: all texts that match.
    pub(super) fn all_literals(&self) -> Option<Vec<&str>> {
        self.0.iter().map(Glob::as_literal).collect()
    }

    /// The common start of each pattern; `None` if one begins with a wildcard, or if there are more than `max` patterns.
    pub(super) fn common_starts(&self, max: usize) -> Option<Vec<CommonStart<'_>>> {
        if self.0.len() > max { None } else { self.0.iter().map(Glob::common_start).collect() }
    }
}

/// Compiles one pattern. If it is invalid or null, records the fault and returns `None`.
pub(super) fn compile_pattern(
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
