//! The secrets as written in a policy, and which of their path templates expanded to a given path.

use super::compiled_policy::{Effect, Policy, SecretTemplate};
use super::placeholder::Placeholder;
use super::template::{Segment, Template};
use crate::model::caller::Caller;
use crate::model::request::Request;

/// A secret in the form in which a policy lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListedSecret<'p> {
    /// The store.
    pub store: &'p str,
    /// The path template.
    pub path: &'p str,
}

impl Policy {
    /// The secrets that it lists, in order.
    pub fn listed_secrets(&self) -> impl Iterator<Item = ListedSecret<'_>> {
        let secrets = self.spec.secrets.iter().flatten();
        secrets
            .filter_map(|secret| Some(ListedSecret { store: secret.store.as_deref()?, path: secret.path.as_deref()? }))
    }

    /// The secret whose template expanded to this path; `None` if no template can give it. If a template cannot be expanded because
    /// `caller` lacks a claim, its literal segments are compared with those of the path.
    #[must_use]
    pub fn find_listed_secret(
        &self,
        store: &str,
        path: &str,
        caller: &Caller,
        request: &Request,
    ) -> Option<ListedSecret<'_>> {
        let Effect::Allow(terms) = &self.effect else { return None };
        let of_store = || terms.secrets.iter().enumerate().filter(|(_, secret)| &*secret.store == store);
        let expand = |secret: &SecretTemplate| secret.path.expand(caller, request);
        let expanded = of_store().find(|(_, secret)| expand(secret).as_deref() == Some(path));
        let possible = || of_store().find(|(_, secret)| expand(secret).is_none() && secret.path.can_give(path));
        let (index, _) = expanded.or_else(possible)?;
        self.listed_secrets().nth(index)
    }
}

impl Template {
    /// Whether some values of the placeholders give this path.
    fn can_give(&self, path: &str) -> bool {
        let segments = self.segments();
        let parts: Vec<&str> = path.split('/').collect();
        let spans_segments = |segment: &Segment| matches!(segment, Segment::Placeholder(Placeholder::Path(_)));
        let matches = |(segment, part): (&Segment, &&str)| match segment {
            Segment::Literal(literal) => **literal == **part,
            Segment::Placeholder(_) => !part.is_empty(),
        };
        // A template has at most one such placeholder.
        let Some(index) = segments.iter().position(spans_segments) else {
            return segments.len() == parts.len() && segments.iter().zip(&parts).all(matches);
        };
        let after = segments.len() - index - 1;
        parts.len() >= segments.len()
            && segments[..index].iter().zip(&parts).all(matches)
            && segments[index + 1..].iter().zip(&parts[parts.len() - after..]).all(matches)
    }
}
