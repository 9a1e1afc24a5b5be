//! All paths that a policy can grant to any caller: its templates with open placeholders.

use super::matching::{Effect, Policy, SecretTerm};
use super::placeholder::Placeholder;
use super::template::Segment;
use std::sync::Arc;

/// A part of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathPart {
    /// Exactly this segment.
    Literal(Box<str>),
    /// Any one segment.
    One,
    /// One or more segments.
    Many,
}

/// The access that a path needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// It is read.
    Read,
    /// It is written to, and the response is the secret.
    Write,
}

/// A path that a policy can grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedPath {
    /// The store.
    pub store: Arc<str>,
    /// The path.
    pub parts: Vec<PathPart>,
    /// The access that it needs.
    pub access: Access,
}

impl Policy {
    /// Every path that it grants. A deny policy grants none, and neither does one in shadow mode.
    #[must_use]
    pub fn paths(&self) -> Vec<GrantedPath> {
        let Effect::Allow(terms) = &self.effect else { return Vec::new() };
        if self.is_shadow() {
            return Vec::new();
        }
        let part = |segment: &Segment| match segment {
            Segment::Literal(literal) => PathPart::Literal(literal.clone()),
            Segment::Filled(Placeholder::One(_)) => PathPart::One,
            Segment::Filled(Placeholder::Path(_)) => PathPart::Many,
        };
        let granted = |term: &SecretTerm| GrantedPath {
            store: term.store.clone(),
            parts: term.path.segments().iter().map(part).collect(),
            access: if term.write.is_some() { Access::Write } else { Access::Read },
        };
        terms.secrets.iter().map(granted).collect()
    }
}
