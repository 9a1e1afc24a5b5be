//! The secrets of a policy as they are written, and which of them a path was filled in from.

use super::matching::{Effect, Policy};
use super::placeholder::Placeholder;
use super::template::{Segment, Template};
use crate::model::caller::Caller;
use crate::model::request::Request;

/// A secret as a policy writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WrittenSecret<'p> {
    /// The store.
    pub store: &'p str,
    /// The path template.
    pub path: &'p str,
}

impl Policy {
    /// The secrets that it lists, in order.
    pub fn written_secrets(&self) -> impl Iterator<Item = WrittenSecret<'_>> {
        let written = self.spec.secrets.iter().flatten();
        written
            .filter_map(|secret| Some(WrittenSecret { store: secret.store.as_deref()?, path: secret.path.as_deref()? }))
    }

    /// The secret that this path was filled in from. A template with a claim that the caller does not have is compared segment by
    /// segment.
    #[must_use]
    pub fn secret_of(&self, store: &str, path: &str, caller: &Caller, request: &Request) -> Option<WrittenSecret<'_>> {
        let Effect::Allow(terms) = &self.effect else { return None };
        let of_store = || terms.secrets.iter().enumerate().filter(|(_, term)| &*term.store == store);
        let filled = of_store().find(|(_, term)| term.path.fill(caller, request).as_deref() == Some(path));
        let fitting = || of_store().find(|(_, term)| term.path.fill(caller, request).is_none() && term.path.fits(path));
        let (place, _) = filled.or_else(fitting)?;
        self.written_secrets().nth(place)
    }
}

impl Template {
    /// Whether some values give this path.
    fn fits(&self, path: &str) -> bool {
        let segments = self.segments();
        let parts: Vec<&str> = path.split('/').collect();
        let is_many = |segment: &Segment| matches!(segment, Segment::Filled(Placeholder::Path(_)));
        let one = |(segment, part): (&Segment, &&str)| match segment {
            Segment::Literal(literal) => **literal == **part,
            Segment::Filled(_) => !part.is_empty(),
        };
        let Some(many) = segments.iter().position(is_many) else {
            return segments.len() == parts.len() && segments.iter().zip(&parts).all(one);
        };
        let behind = segments.len() - many - 1;
        parts.len() >= segments.len()
            && segments[..many].iter().zip(&parts).all(one)
            && segments[many + 1..].iter().zip(&parts[parts.len() - behind..]).all(one)
    }
}
