//! The id of a request, in its response, log lines and audit event.

use crate::sealing::{digest, random};
use std::fmt;

/// 32 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// A random ID. It is not secret, so if no random bytes are available it is zero.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        let _ = random::fill(&mut bytes);
        Self(digest::hex(&bytes))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
