//! The ceiling: the paths beyond which no policy can grant secrets.

use super::placeholder::Placeholder;
use super::template::{Segment, Template};
use std::sync::Arc;

/// A list of limits; a path must be within each of them. Without limits every path is allowed. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Ceiling(Arc<[Limit]>);

/// Pairs of a store and a path prefix. A path is within the limit if one pair contains it. A limit without pairs contains no path.
type Limit = Arc<[(Arc<str>, String)]>;

impl Ceiling {
    /// A ceiling with one limit of these pairs, or without a limit if there are none.
    pub fn new(entries: impl IntoIterator<Item = (Arc<str>, String)>) -> Self {
        let limit: Limit = entries.into_iter().collect();
        if limit.is_empty() { Self::default() } else { Self([limit].into()) }
    }

    /// This ceiling with one more limit of these pairs. Unlike in [`Self::new`], no path is allowed if there are none.
    pub(super) fn with_limit(&self, entries: impl IntoIterator<Item = (Arc<str>, String)>) -> Self {
        Self(self.0.iter().cloned().chain([entries.into_iter().collect()]).collect())
    }

    /// Whether no path is allowed, because a limit has no pairs.
    pub(super) fn allows_nothing(&self) -> bool {
        self.0.iter().any(|limit| limit.is_empty())
    }

    /// Whether an expanded path is within the ceiling. Whole segments are compared: `homelab/a` does not contain
    /// `homelab/ab`.
    pub(super) fn allows(&self, store: &str, path: &str) -> bool {
        let contains = |prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
        };
        self.0.iter().all(|limit| prefixes_of_store(limit, store).any(contains))
    }

    /// The prefixes of each limit for a store. A path must be within one prefix of every limit.
    pub(super) fn prefixes(&self, store: &str) -> impl Iterator<Item = Vec<&str>> {
        self.0.iter().map(move |limit| prefixes_of_store(limit, store).collect())
    }

    /// Whether a template can give a path within the ceiling for some values of its placeholders.
    pub(super) fn may_allow(&self, store: &str, template: &Template) -> bool {
        let may_contain = |prefix: &str| prefix.is_empty() || can_start_with(template, prefix);
        self.0.iter().all(|limit| prefixes_of_store(limit, store).any(may_contain))
    }
}

fn prefixes_of_store<'a>(limit: &'a Limit, store: &str) -> impl Iterator<Item = &'a str> {
    limit.iter().filter(move |(limit_store, _)| **limit_store == *store).map(|(_, prefix)| prefix.as_str())
}

/// Whether a path of the template can start with all segments of the prefix.
fn can_start_with(template: &Template, prefix: &str) -> bool {
    let mut segments = template.segments().iter();
    for wanted in prefix.split('/') {
        match segments.next() {
            Some(Segment::Literal(literal)) if **literal == *wanted => {}
            Some(Segment::Placeholder(Placeholder::Segment(_))) => {}
            // Its value may have any number of segments, so it can be all that is left of the prefix.
            Some(Segment::Placeholder(Placeholder::Path(_))) => return true,
            Some(Segment::Literal(_)) | None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::placeholder::PlainClaims;

    fn ceiling(entries: &[(&str, &str)]) -> Ceiling {
        Ceiling::new(entries.iter().map(|(store, prefix)| ((*store).into(), (*prefix).to_owned())))
    }

    #[test]
    fn allows_compares_whole_segments_of_the_same_store() {
        let ceiling = ceiling(&[("vault", "homelab/web"), ("local", "")]);
        for (store, path, allowed) in [
            ("vault", "homelab/web", true),
            ("vault", "homelab/web/a/b", true),
            ("vault", "homelab/webs", false),
            ("vault", "homelab/web~a", false),
            ("vault", "homelab", false),
            ("vault", "other/homelab/web", false),
            ("local", "anything/at/all", true),
            ("third", "homelab/web", false),
        ] {
            assert_eq!(ceiling.allows(store, path), allowed, "{store} {path}");
        }
    }

    #[test]
    fn templates_are_compared_decoded() {
        let ceiling = ceiling(&[("vault", "Team A/rds!x")]);
        for (path, allowed) in [("Team A/rds!x/a", true), ("Team%20A/rds!x", false), ("Team A/rds", false)] {
            assert_eq!(ceiling.allows("vault", path), allowed, "{path}");
        }
        let template = Template::parse("Team%20A/rds%21x/{repo}", PlainClaims::Identifiers).expect("a template");
        assert!(ceiling.may_allow("vault", &template));
        let template = Template::parse("Team%20B/rds%21x/{repo}", PlainClaims::Identifiers).expect("a template");
        assert!(!ceiling.may_allow("vault", &template));
    }

    #[test]
    fn a_ceiling_without_limits_allows_every_path() {
        assert!(Ceiling::default().allows("vault", "any"));
    }

    #[test]
    fn may_allow_refuses_templates_that_are_always_outside() {
        let ceiling = ceiling(&[("vault", "homelab/web/sites")]);
        for (template, possible) in [
            ("homelab/web/sites", true),
            ("homelab/web/sites/{repo}", true),
            ("homelab/{repo}/sites", true),
            ("homelab/{repo|path}/x", true),
            ("homelab/web", false),
            ("homelab/{repo}/other", false),
            ("homelab/web/sitesx/{repo}", false),
            ("other/{repo|path}", false),
            ("homelab/web/sites/Team%20A", true),
        ] {
            let parsed = Template::parse(template, PlainClaims::Identifiers).expect(template);
            assert_eq!(ceiling.may_allow("vault", &parsed), possible, "{template}");
            assert!(!ceiling.may_allow("local", &parsed), "{template}");
        }
    }
}
