//! The name of a branch. It is validated once, and never decoded, normalised or case-folded.

use std::fmt;
use std::sync::Arc;

/// Maximum length of a branch in bytes.
pub const MAX_BRANCH_BYTES: usize = 1024;

/// A branch: valid UTF-8 that obeys git's rules for `refs/heads/NAME`
/// ([git-check-ref-format](https://git-scm.com/docs/git-check-ref-format)), does not begin with `-` and is not `HEAD`. `@` is
/// valid: git refuses it as a whole ref, which `refs/heads/@` is not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Branch(Arc<str>);

/// The text is not a branch. The reason names the violated rule and never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseBranchError(&'static str);

impl Branch {
    /// The branch as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Branch {
    type Error = ParseBranchError;

    fn try_from(text: &str) -> Result<Self, ParseBranchError> {
        match violated_rule(text) {
            Some(rule) => Err(ParseBranchError(rule)),
            None => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn violated_rule(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("a branch must not be empty");
    }
    if text.len() > MAX_BRANCH_BYTES {
        return Some("a branch has at most 1024 bytes");
    }
    if text == "HEAD" {
        return Some("a branch must not be HEAD");
    }
    if text.starts_with('-') {
        return Some("a branch must not begin with -");
    }
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Some("a branch must not contain control characters");
    }
    if text.contains([' ', '~', '^', ':', '?', '*', '[', '\\']) {
        return Some("a branch must not contain a space or any of ~ ^ : ? * [ \\");
    }
    if text.contains("..") || text.contains("@{") {
        return Some("a branch must not contain .. or @{");
    }
    if text.ends_with('.') {
        return Some("a branch must not end with a dot");
    }
    text.split('/').find_map(violated_component_rule)
}

fn violated_component_rule(component: &str) -> Option<&'static str> {
    if component.is_empty() {
        return Some("a branch must not begin or end with / or contain //");
    }
    if component.starts_with('.') {
        return Some("no part of a branch may begin with a dot");
    }
    // git compares bytewise: `x.LOCK` is a legal name.
    if component.as_bytes().ends_with(b".lock") {
        return Some("no part of a branch may end with .lock");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_valid_git_branch_names() {
        for name in [
            "main",
            "feature/x",
            "release/2026.11",
            "main$(id)",
            "a`id`b",
            "a;id",
            "%2e%2e",
            "a%2fb",
            "+",
            "refs/heads/main",
            "café",
            "cafe\u{301}",
            "m\u{430}in",
            "a\u{202e}b",
            "a@b",
            "@",
            "@/x",
            "@@",
            "x.LOCK",
            "a-",
            "'",
            "{a,b}",
        ] {
            assert_eq!(Branch::try_from(name).map(|b| b.as_str().to_owned()).as_deref(), Ok(name));
        }
        assert!(Branch::try_from("x".repeat(1024).as_str()).is_ok());
    }

    #[test]
    fn refuses_invalid_git_branch_names_and_leading_dashes() {
        for name in [
            "",
            "HEAD",
            "-rf",
            "a//b",
            "/a",
            "a/",
            "x.lock",
            "a/b.lock/c",
            "a@{b",
            "a..b",
            ".a",
            "a/.b",
            "a.",
            "a b",
            "a~b",
            "a^b",
            "a:b",
            "a?b",
            "a*b",
            "a[b",
            "a\\b",
            "a\0b",
            "a\nb",
            "a\tb",
            "a\x7fb",
            "..",
        ] {
            assert!(Branch::try_from(name).is_err(), "{name:?} was accepted");
        }
        assert!(Branch::try_from("x".repeat(1025).as_str()).is_err());
    }
}
