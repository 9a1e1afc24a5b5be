//! Anchored globs over Unicode characters: the pattern language of policies.
//!
//! `parse` converts the text into steps, `program` matches them. The `regex` crate would need 10 to 20 KiB for a pattern, and
//! tens of microseconds to compile it; a broker holds tens of thousands of patterns, most of which have at most one wildcard.

mod parse;
mod program;

#[cfg(any(test, fuzzing))]
pub(super) mod reference;
#[cfg(test)]
mod tests;

use program::{Program, Step};
use std::fmt;

/// A compiled pattern. Matching any pattern takes time linear in the length of the text.
#[derive(Clone, PartialEq)]
pub(super) struct Glob(Matcher);

#[derive(Clone, PartialEq)]
enum Matcher {
    /// `**`.
    Everything,
    /// A pattern without a wildcard.
    Literal(Box<str>),
    /// One `*` between a literal prefix and suffix.
    Affixes { prefix: Box<str>, suffix: Box<str> },
    /// `a/b/**`; the prefix includes the last slash.
    PathPrefix(Box<str>),
    /// Any other pattern, with the literal before its first wildcard.
    Program { prefix: Box<str>, program: Program },
    /// Matches what the pattern matches, and also the literal.
    OrLiteral { pattern: Box<Glob>, literal: Box<str> },
}

/// A common beginning of all texts that a pattern matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommonStart<'a> {
    /// The only matching text.
    Literal(&'a str),
    /// A prefix of every matching text; never empty.
    Prefix(&'a str),
}

impl<'a> CommonStart<'a> {
    pub(super) const fn as_str(self) -> &'a str {
        match self {
            Self::Literal(text) | Self::Prefix(text) => text,
        }
    }
}

/// The text is not a pattern. The reason names the broken rule and never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct InvalidPattern(&'static str);

impl Glob {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// See [`InvalidPattern`].
    pub(super) fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let steps = parse::parse(text)?;
        let first_wildcard = steps.iter().position(|step| !matches!(step, Step::Char(_)));
        let matcher = match first_wildcard.map(|index| steps.split_at(index)) {
            None => Matcher::Literal(text.into()),
            Some(([], [Step::AnyRest])) => Matcher::Everything,
            Some((prefix, [Step::AnyRest])) => Matcher::PathPrefix(literal_text(prefix)),
            Some((prefix, [Step::AnyChars, suffix @ ..]))
                if suffix.iter().all(|step| matches!(step, Step::Char(_))) =>
            {
                Matcher::Affixes { prefix: literal_text(prefix), suffix: literal_text(suffix) }
            }
            Some((prefix, _)) => Matcher::Program { prefix: literal_text(prefix), program: Program::new(steps) },
        };
        Ok(Self(matcher))
    }

    /// A pattern that matches exactly this text.
    pub(super) fn from_literal(text: &str) -> Self {
        Self(Matcher::Literal(text.into()))
    }

    /// Matches what this pattern matches, and also the literal.
    pub(super) fn or_literal(self, literal: &str) -> Self {
        Self(Matcher::OrLiteral { pattern: Box::new(self), literal: literal.into() })
    }

    /// Whether the whole text matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Matcher::Everything => true,
            Matcher::Literal(literal) => **literal == *text,
            Matcher::Affixes { prefix, suffix } => text
                .strip_prefix(&**prefix)
                .and_then(|rest| rest.strip_suffix(&**suffix))
                .is_some_and(|run| !run.contains('/')),
            Matcher::PathPrefix(prefix) => text.starts_with(&**prefix),
            Matcher::Program { prefix, program } => text.starts_with(&**prefix) && program.matches(text),
            Matcher::OrLiteral { pattern, literal } => **literal == *text || pattern.matches(text),
        }
    }

    /// The only matching text. `None` if other texts may match.
    pub(super) fn as_literal(&self) -> Option<&str> {
        match &self.0 {
            Matcher::Literal(literal) => Some(literal),
            _ => None,
        }
    }

    /// A beginning that all matching texts have in common, and not always the longest. `None` if none is known, as with a leading
    /// wildcard.
    pub(super) fn common_start(&self) -> Option<CommonStart<'_>> {
        let prefix = match &self.0 {
            Matcher::Everything => return None,
            Matcher::Literal(text) => return Some(CommonStart::Literal(text)),
            Matcher::OrLiteral { pattern, literal } => {
                let start = pattern.common_start()?;
                return (matches!(start, CommonStart::Prefix(_)) && literal.starts_with(start.as_str()))
                    .then_some(start);
            }
            Matcher::Affixes { prefix, .. } | Matcher::PathPrefix(prefix) | Matcher::Program { prefix, .. } => prefix,
        };
        (!prefix.is_empty()).then_some(CommonStart::Prefix(prefix))
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Matcher::Everything => f.write_str("Glob(everything)"),
            Matcher::Literal(text) => write!(f, "Glob({text:?})"),
            Matcher::Affixes { prefix, suffix } => write!(f, "Glob({prefix:?} run {suffix:?})"),
            Matcher::PathPrefix(prefix) => write!(f, "Glob({prefix:?} rest)"),
            Matcher::Program { program, .. } => write!(f, "Glob({program:?})"),
            Matcher::OrLiteral { pattern, literal } => write!(f, "{pattern:?} or {literal:?}"),
        }
    }
}

fn literal_text(steps: &[Step]) -> Box<str> {
    let text: String = steps.iter().filter_map(|step| if let Step::Char(c) = step { Some(*c) } else { None }).collect();
    text.into()
}
