//! The id of one request, ours, in every answer, log line and audit event that belongs to it.

use crate::sealing::{digest, random};
use std::fmt;

/// 32 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// A fresh id. It is a name and no secret, so a failing random generator yields zeros rather than an error.
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
