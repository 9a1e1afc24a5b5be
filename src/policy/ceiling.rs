//! The ceiling: an upper bound on the secrets of all policies.

use super::placeholder::Placeholder;
use super::template::{Segment, Template};
use std::sync::Arc;

/// The configured ceiling; cheap to clone. A path must be within each of its limits. Without limits everything is allowed.
#[derive(Debug, Clone, Default)]
pub struct Ceiling(Arc<[Limit]>);

/// A store and a prefix of its paths, each; one of them must hold a path. Without entries nothing is allowed.
type Limit = Arc<[(Arc<str>, String)]>;

impl Ceiling {
    /// An entry is a store and a path prefix. Without entries there is no limit.
    pub fn new(entries: impl IntoIterator<Item = (Arc<str>, String)>) -> Self {
        let limit: Limit = entries.into_iter().collect();
        if limit.is_empty() { Self::default() } else { Self([limit].into()) }
    }

    /// This ceiling with one more limit, also where that has no entries.
    pub(super) fn under(&self, entries: impl IntoIterator<Item = (Arc<str>, String)>) -> Self {
        Self(self.0.iter().cloned().chain([entries.into_iter().collect()]).collect())
    }

    /// Whether it allows nothing at all because a limit has no entries.
    pub(super) fn is_closed(&self) -> bool {
        self.0.iter().any(|limit| limit.is_empty())
    }

    /// Whether a filled-in path is within the ceiling. Whole segments are compared: `homelab/a` does not contain
    /// `homelab/ab`.
    pub(super) fn allows(&self, store: &str, path: &str) -> bool {
        let within = |prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
        };
        self.0.iter().all(|limit| prefixes(limit, store).any(within))
    }

    /// Whether a template can give a path within the ceiling for any values of its placeholders.
    pub(super) fn may_allow(&self, store: &str, template: &Template) -> bool {
        let may_hold = |prefix: &str| prefix.is_empty() || can_start_with(template, prefix);
        self.0.iter().all(|limit| prefixes(limit, store).any(may_hold))
    }
}

fn prefixes<'a>(limit: &'a Limit, store: &str) -> impl Iterator<Item = &'a str> {
    limit.iter().filter(move |(of, _)| **of == *store).map(|(_, prefix)| prefix.as_str())
}

fn can_start_with(template: &Template, prefix: &str) -> bool {
    let mut segments = template.segments().iter();
    for wanted in prefix.split('/') {
        match segments.next() {
            Some(Segment::Literal(literal)) if **literal == *wanted => {}
            Some(Segment::Filled(Placeholder::One(_))) => {}
            // Any number of segments may follow.
            Some(Segment::Filled(Placeholder::Path(_))) => return true,
            Some(Segment::Literal(_)) | None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ceiling(entries: &[(&str, &str)]) -> Ceiling {
        Ceiling::new(entries.iter().map(|(store, prefix)| ((*store).into(), (*prefix).to_owned())))
    }

    #[test]
    fn counts_whole_segments_of_the_right_store() {
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
    fn a_decoded_name_counts_as_it_is() {
        let ceiling = ceiling(&[("vault", "Team A/rds!x")]);
        for (path, allowed) in [("Team A/rds!x/a", true), ("Team%20A/rds!x", false), ("Team A/rds", false)] {
            assert_eq!(ceiling.allows("vault", path), allowed, "{path}");
        }
        let template = Template::parse("Team%20A/rds%21x/{repo}").expect("a template");
        assert!(ceiling.may_allow("vault", &template));
        let template = Template::parse("Team%20B/rds%21x/{repo}").expect("a template");
        assert!(!ceiling.may_allow("vault", &template));
    }

    #[test]
    fn no_ceiling_allows_everything() {
        assert!(Ceiling::default().allows("vault", "any"));
    }

    #[test]
    fn tells_templates_that_can_never_lie_within() {
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
            let parsed = Template::parse(template).expect(template);
            assert_eq!(ceiling.may_allow("vault", &parsed), possible, "{template}");
            assert!(!ceiling.may_allow("local", &parsed), "{template}");
        }
    }
}
