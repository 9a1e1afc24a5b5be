//! Path templates: `homelab/{repo}/{branch}`. Different values of the placeholders always give different paths.
//!
//! A placeholder is exactly one segment, and the encoding of its value is injective, so each value can be read back from its
//! segment. A template may have one `|path` placeholder, whose value is one or more segments: those that remain after the fixed
//! number of segments before and behind it.

use super::placeholder::{Placeholder, PlainClaims, closing_brace};
use crate::model::caller::Caller;
use crate::model::path_segment;
use crate::model::request::Request;

/// Maximum length of a template in bytes.
const MAX_BYTES: usize = 1024;

/// Vault's system mounts. A policy must not grant their paths: one of them returns the broker's own token.
const SYSTEM_MOUNTS: [&str; 4] = ["sys", "auth", "identity", "cubbyhole"];

const NOT_WHOLE_SEGMENT: InvalidTemplate = InvalidTemplate("a placeholder must be a whole segment");

/// A path with placeholders. The first segment is literal.
#[derive(Debug, Clone)]
pub(super) struct Template(Box<[Segment]>);

/// One segment of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// This name, already percent-decoded.
    Literal(Box<str>),
    /// The value of a placeholder.
    Placeholder(Placeholder),
}

/// The text is not a template. The reason names the broken rule and never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct InvalidTemplate(&'static str);

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// See [`InvalidTemplate`].
    pub(super) fn parse(text: &str, plain_claims: PlainClaims) -> Result<Self, InvalidTemplate> {
        if text.is_empty() {
            return Err(InvalidTemplate("a path must not be empty"));
        }
        if text.len() > MAX_BYTES {
            return Err(InvalidTemplate("a path has at most 1024 bytes"));
        }
        let mut segments = Vec::new();
        let mut rest = Some(text);
        while let Some(text) = rest {
            // A slash in a quoted claim name does not separate segments.
            let search_start = if text.starts_with('{') { closing_brace(text).unwrap_or(0) } else { 0 };
            let end = text[search_start..].find('/').map(|slash| search_start + slash);
            segments.push(parse_segment(end.map_or(text, |end| &text[..end]), plain_claims)?);
            rest = end.map(|end| &text[end + 1..]);
        }
        match &segments[0] {
            Segment::Literal(mount) if SYSTEM_MOUNTS.contains(&&**mount) => {
                return Err(InvalidTemplate("a path must not begin with sys, auth, identity or cubbyhole"));
            }
            Segment::Literal(_) => {}
            Segment::Placeholder(_) => return Err(InvalidTemplate("the first segment of a path must be literal")),
        }
        let keeps_slashes = |segment: &&Segment| matches!(segment, Segment::Placeholder(Placeholder::Path(_)));
        if segments.iter().filter(keeps_slashes).count() > 1 {
            return Err(InvalidTemplate("a path has at most one |path placeholder"));
        }
        Ok(Self(segments.into()))
    }

    /// The segments, in order.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The path for this caller and request; `None` if a value is missing or cannot be encoded as a segment.
    pub(super) fn expand(&self, caller: &Caller, request: &Request) -> Option<String> {
        let mut path = String::new();
        for segment in &self.0 {
            if !path.is_empty() {
                path.push('/');
            }
            match segment {
                Segment::Literal(literal) => path.push_str(literal),
                Segment::Placeholder(placeholder) => placeholder.append_value(&mut path, caller, request)?,
            }
        }
        Some(path)
    }
}

fn parse_segment(text: &str, plain_claims: PlainClaims) -> Result<Segment, InvalidTemplate> {
    if text.starts_with('{') {
        let inner = closing_brace(text)
            .filter(|end| end + 1 == text.len())
            .map(|end| &text[1..end])
            .ok_or(NOT_WHOLE_SEGMENT)?;
        return Placeholder::parse(inner, plain_claims).map(Segment::Placeholder).map_err(InvalidTemplate);
    }
    if text.contains(['{', '}']) {
        return Err(NOT_WHOLE_SEGMENT);
    }
    path_segment::decode(text).map(Segment::Literal).map_err(InvalidTemplate)
}
