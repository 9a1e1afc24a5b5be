//! The id of a request, in its response, log lines and audit event.

use crate::sealing::{digest, random};
use std::fmt;

/// 32 hex digits. Inline, because a request copies its ID several times.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId([u8; DIGITS]);

const DIGITS: usize = 32;

impl RequestId {
    /// A random ID. It is not secret, so if no random bytes are available it is zero.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; DIGITS / 2];
        let _ = random::fill(&mut bytes);
        let mut digits = [0; DIGITS];
        digest::write_hex(&bytes, &mut digits);
        Self(digits)
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_else(|_| unreachable!("hex digits are ASCII"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
