//! The paths that a policy may grant, whoever asks: its templates with their placeholders open.

use super::matching::{Effect, Policy};
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

impl Policy {
    /// Each store that it grants something of, with the path. A deny policy grants none.
    #[must_use]
    pub fn paths(&self) -> Vec<(Arc<str>, Vec<PathPart>)> {
        let Effect::Allow(terms) = &self.effect else { return Vec::new() };
        let part = |segment: &Segment| match segment {
            Segment::Literal(literal) => PathPart::Literal(literal.clone()),
            Segment::One(_) => PathPart::One,
            Segment::Path(_) => PathPart::Many,
        };
        let path = |segments: &[Segment]| segments.iter().map(part).collect::<Vec<_>>();
        terms.secrets.iter().map(|term| (term.store.clone(), path(term.path.segments()))).collect()
    }
}
