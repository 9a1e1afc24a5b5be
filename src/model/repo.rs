//! The name of a repository. It is validated once.

use std::fmt;
use std::sync::Arc;

/// Maximum length of a repo in bytes.
pub const MAX_REPO_BYTES: usize = 256;

/// A repo: `/`-separated segments of `[A-Za-z0-9._~@+-]` and inner single spaces. No segment is empty, `.` or `..`. Examples:
/// `~jdoe/site` (Bitbucket), `My Project/site` (Azure DevOps).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repo(Arc<str>);

/// The text is not a repo. The reason names the violated rule and never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseRepoError(&'static str);

impl Repo {
    /// The repo as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Repo {
    type Error = ParseRepoError;

    fn try_from(text: &str) -> Result<Self, ParseRepoError> {
        if text.is_empty() {
            return Err(ParseRepoError("a repo must not be empty"));
        }
        if text.len() > MAX_REPO_BYTES {
            return Err(ParseRepoError("a repo has at most 256 bytes"));
        }
        for segment in text.split('/') {
            if segment.is_empty() {
                return Err(ParseRepoError("a repo must not begin or end with / or contain //"));
            }
            if segment == "." || segment == ".." {
                return Err(ParseRepoError("no segment of a repo may be . or .."));
            }
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'@' | b'+' | b'-');
            if !segment.bytes().all(|b| is_plain(b) || b == b' ') {
                return Err(ParseRepoError("a repo has only letters, digits, spaces, slashes and . _ ~ @ + -"));
            }
            if segment.split(' ').any(str::is_empty) {
                return Err(ParseRepoError("spaces in a repo must be single, and within a segment"));
            }
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_segments_of_plain_characters() {
        for name in [
            "site",
            "moreira.dev",
            "acme/site",
            "a/b/c",
            "A_b-c.d",
            "...",
            "-x",
            "~jdoe/site",
            "~",
            "My Project/site",
            "a b c/d e",
            "@scope/pkg",
            "c++",
            "a~b",
            "a@b",
            "-x y",
            ". .",
            "a/. b",
        ] {
            assert!(Repo::try_from(name).is_ok(), "{name:?} was refused");
        }
        assert!(Repo::try_from("x".repeat(256).as_str()).is_ok());
    }

    #[test]
    fn refuses_other_names() {
        for name in [
            "", ".", "..", "a/..", "../a", "a//b", "/a", "a/", "a%2fb", "é", "a\0", "a\n", "a:b", " ", " a", "a ",
            "a  b", "a/ b", "a /b", "a\u{a0}b", "a\tb", "a$b", "a*", "a,b",
        ] {
            assert!(Repo::try_from(name).is_err(), "{name:?} was accepted");
        }
        assert!(Repo::try_from("x".repeat(257).as_str()).is_err());
    }
}
