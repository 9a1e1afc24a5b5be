//! The paths that a policy may grant, whoever asks: its templates with their placeholders open.

use super::matching::{Effect, Policy, SecretTerm};
use super::placeholder::Placeholder;
use super::template::Segment;
use std::sync::Arc;

/// A piece of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathPart {
    /// This segment.
    Literal(Box<str>),
    /// Any one segment.
    One,
    /// One or more segments.
    Many,
}

/// How a store is asked for a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// It is read.
    Read,
    /// It is written to, and the answer is the secret.
    Write,
}

/// A path that a policy grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedPath {
    /// The store.
    pub store: Arc<str>,
    /// The path.
    pub parts: Vec<PathPart>,
    /// How it is asked for.
    pub access: Access,
}

impl Policy {
    /// Every path that it grants. A deny policy grants none.
    #[must_use]
    pub fn paths(&self) -> Vec<GrantedPath> {
        let Effect::Allow(terms) = &self.effect else { return Vec::new() };
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
