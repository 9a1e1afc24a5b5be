//! The ceiling: an upper bound on the secrets of all policies.

use super::placeholder::Placeholder;
use super::template::{Segment, Template};
use std::sync::Arc;

/// The configured ceiling; cheap to clone. Without entries everything is allowed.
#[derive(Debug, Clone, Default)]
pub struct Ceiling(Arc<[(Arc<str>, String)]>);

impl Ceiling {
    /// An entry is a store and a path prefix.
    pub fn new(entries: impl IntoIterator<Item = (Arc<str>, String)>) -> Self {
        Self(entries.into_iter().collect())
    }

    /// Whether a filled-in path is within the ceiling. Whole segments are compared: `homelab/a` does not contain
    /// `homelab/ab`.
    pub(super) fn allows(&self, store: &str, path: &str) -> bool {
        self.0.is_empty()
            || self.entries_of(store).any(|prefix| {
                path.strip_prefix(prefix)
                    .is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
            })
    }

    /// Whether a template can give a path within the ceiling for any values of its placeholders.
    pub(super) fn may_allow(&self, store: &str, template: &Template) -> bool {
        self.0.is_empty() || self.entries_of(store).any(|prefix| prefix.is_empty() || may_begin(template, prefix))
    }

    fn entries_of(&self, store: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(of, _)| **of == *store).map(|(_, prefix)| prefix.as_str())
    }
}

fn may_begin(template: &Template, prefix: &str) -> bool {
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
