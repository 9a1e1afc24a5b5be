//! The path of a secret, checked again after the placeholders are filled in.

use std::sync::Arc;

/// Maximum length of a path in bytes; templates cannot become longer.
const MAX_PATH_BYTES: usize = 8192;

/// First segments that lead to the store itself: for example, `auth/token/lookup-self` is the broker's own token.
pub(super) const SYSTEM_MOUNTS: [&str; 4] = ["sys", "auth", "identity", "cubbyhole"];

/// A path that may be read: segments of printable characters, none of them empty, `.` or `..`, the first one not a system
/// mount. It is not percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StorePath(Arc<str>);

/// The text is not a valid path. The reason does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPath(&'static str);

impl StorePath {
    /// The path, not percent-encoded.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for StorePath {
    type Error = InvalidPath;

    fn try_from(text: &str) -> Result<Self, InvalidPath> {
        if text.len() > MAX_PATH_BYTES {
            return Err(InvalidPath("a path has at most 8192 bytes"));
        }
        if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) || text.contains(char::is_control) {
            return Err(InvalidPath("a path has printable segments, none empty, . or .."));
        }
        if text.split('/').next().is_some_and(|first| SYSTEM_MOUNTS.contains(&first)) {
            return Err(InvalidPath("a path must not lead to sys, auth, identity or cubbyhole"));
        }
        Ok(Self(text.into()))
    }
}

/// Whether a text is one or more segments of `[A-Za-z0-9._~=-]`, none of them empty, `.` or `..`.
pub(super) fn is_plain(text: &str) -> bool {
    text.split('/').all(|segment| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'=' | b'-'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_plain_segments() {
        for path in ["homelab/site/main", "a", "a/sys", "system/x", "SYS/x", "a/feature~x", "a/=C3=A9", "a/...", "-/_"]
        {
            assert!(StorePath::try_from(path).is_ok(), "{path:?} was refused");
        }
        assert!(StorePath::try_from("x".repeat(8192).as_str()).is_ok());
    }

    #[test]
    fn refuses_every_system_mount() {
        for mount in SYSTEM_MOUNTS {
            for path in [mount.to_owned(), format!("{mount}/x"), format!("{mount}/token/lookup-self")] {
                assert!(StorePath::try_from(path.as_str()).is_err(), "{path:?} was accepted");
            }
        }
    }

    #[test]
    fn refuses_invalid_segments() {
        for path in ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a\0", "a\n", "a\x7f", "a\u{85}"]
        {
            assert!(StorePath::try_from(path).is_err(), "{path:?} was accepted");
        }
        assert!(StorePath::try_from("x".repeat(8193).as_str()).is_err());
    }
}
