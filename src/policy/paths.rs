//! The paths that a policy can grant to any caller: its templates, with a wildcard for each placeholder. `needed_paths` narrows them.

use super::compiled_policy::{Effect, Policy, SecretTemplate};
use super::placeholder::Placeholder;
use super::template::Segment;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathPart {
    /// Exactly this segment.
    Literal(Box<str>),
    AnySegment,
    /// One or more segments.
    AnySegments,
}

/// The access that a path needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    Read,
    /// A write whose response is the secret.
    Write,
}

/// A path that a policy can grant, with wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedPath {
    pub store: Arc<str>,
    /// The path, segment by segment.
    pub parts: Vec<PathPart>,
    /// The access that it needs.
    pub access: Access,
}

impl GrantedPath {
    /// A path that these parts match, with `x` for each wildcard.
    #[must_use]
    pub fn example(parts: &[PathPart]) -> String {
        let text = |part: &PathPart| match part {
            PathPart::Literal(literal) => literal.to_string(),
            PathPart::AnySegment | PathPart::AnySegments => "x".to_owned(),
        };
        parts.iter().map(text).collect::<Vec<_>>().join("/")
    }
}

impl Policy {
    /// The paths that it can grant; none if it is a deny policy or in shadow mode.
    #[must_use]
    pub fn paths(&self) -> Vec<GrantedPath> {
        let Effect::Allow(terms) = &self.effect else { return Vec::new() };
        if self.is_shadow() {
            return Vec::new();
        }
        let part = |segment: &Segment| match segment {
            Segment::Literal(literal) => PathPart::Literal(literal.clone()),
            Segment::Placeholder(Placeholder::Segment(_)) => PathPart::AnySegment,
            Segment::Placeholder(Placeholder::Path(_)) => PathPart::AnySegments,
        };
        let granted_path = |template: &SecretTemplate| GrantedPath {
            store: template.store.clone(),
            parts: template.path.segments().iter().map(part).collect(),
            access: access_of(template),
        };
        terms.secrets.iter().map(granted_path).collect()
    }
}

/// The access that a secret needs.
pub(super) const fn access_of(template: &SecretTemplate) -> Access {
    if template.write.is_some() { Access::Write } else { Access::Read }
}
