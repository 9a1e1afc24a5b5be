//! Anchored globs over Unicode characters: the pattern language of policies.
//!
//! `parse` converts the text into steps, `program` matches them. The `regex` crate would need 10 to 20 KiB and
//! tens of microseconds for a pattern; a broker holds tens of thousands of patterns, most of them literal or
//! nearly so.

mod parse;
mod program;

#[cfg(any(test, fuzzing))]
pub(super) mod reference;
#[cfg(test)]
mod tests;

use program::{Program, Step};
use std::fmt;

/// A compiled pattern. Matching takes time linear in the length of the text, for every pattern.
#[derive(Clone, PartialEq)]
pub(super) struct Glob(Matcher);

#[derive(Clone, PartialEq)]
enum Matcher {
    /// `**`.
    Everything,
    /// No wildcard.
    Literal(Box<str>),
    /// One `*` between a literal prefix and suffix.
    Affixes { prefix: Box<str>, suffix: Box<str> },
    /// `a/b/**`; the literal includes its slash.
    Below(Box<str>),
    /// Any other pattern, with the literal before its first wildcard.
    Program { prefix: Box<str>, program: Program },
    /// A pattern or a literal.
    OrText { pattern: Box<Glob>, text: Box<str> },
}

/// The common beginning of all texts that a pattern matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start<'a> {
    /// The only matching text.
    Literal(&'a str),
    /// Never empty.
    Prefix(&'a str),
}

impl<'a> Start<'a> {
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
        let wild = steps.iter().position(|step| !matches!(step, Step::Char(_)));
        let matcher = match wild.map(|at| steps.split_at(at)) {
            None => Matcher::Literal(text.into()),
            Some(([], [Step::Rest])) => Matcher::Everything,
            Some((prefix, [Step::Rest])) => Matcher::Below(literal(prefix)),
            Some((prefix, [Step::Run, suffix @ ..])) if suffix.iter().all(|step| matches!(step, Step::Char(_))) => {
                Matcher::Affixes { prefix: literal(prefix), suffix: literal(suffix) }
            }
            Some((prefix, _)) => Matcher::Program { prefix: literal(prefix), program: Program::new(steps) },
        };
        Ok(Self(matcher))
    }

    /// A pattern that matches exactly one text.
    pub(super) fn literal(text: &str) -> Self {
        Self(Matcher::Literal(text.into()))
    }

    /// This pattern or a literal.
    pub(super) fn or_text(self, text: &str) -> Self {
        Self(Matcher::OrText { pattern: Box::new(self), text: text.into() })
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
            Matcher::Below(prefix) => text.starts_with(&**prefix),
            Matcher::Program { prefix, program } => text.starts_with(&**prefix) && program.matches(text),
            Matcher::OrText { pattern, text: other } => **other == *text || pattern.matches(text),
        }
    }

    /// The only text that it matches, if it has no wildcard.
    pub(super) fn as_literal(&self) -> Option<&str> {
        match &self.0 {
            Matcher::Literal(literal) => Some(literal),
            _ => None,
        }
    }

    /// The beginning of matching texts; `None` if the pattern begins with a wildcard.
    pub(super) fn start(&self) -> Option<Start<'_>> {
        let prefix = match &self.0 {
            Matcher::Everything => return None,
            Matcher::Literal(text) => return Some(Start::Literal(text)),
            Matcher::OrText { pattern, text } => {
                let start = pattern.start()?;
                return (matches!(start, Start::Prefix(_)) && text.starts_with(start.as_str())).then_some(start);
            }
            Matcher::Affixes { prefix, .. } | Matcher::Below(prefix) | Matcher::Program { prefix, .. } => prefix,
        };
        (!prefix.is_empty()).then_some(Start::Prefix(prefix))
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Matcher::Everything => f.write_str("Glob(everything)"),
            Matcher::Literal(text) => write!(f, "Glob({text:?})"),
            Matcher::Affixes { prefix, suffix } => write!(f, "Glob({prefix:?} run {suffix:?})"),
            Matcher::Below(prefix) => write!(f, "Glob({prefix:?} rest)"),
            Matcher::Program { program, .. } => write!(f, "Glob({program:?})"),
            Matcher::OrText { pattern, text } => write!(f, "{pattern:?} or {text:?}"),
        }
    }
}

fn literal(steps: &[Step]) -> Box<str> {
    let text: String = steps.iter().filter_map(|step| if let Step::Char(c) = step { Some(*c) } else { None }).collect();
    text.into()
}
