//! The ID of a request, which its response, log lines and audit event contain.

use crate::sealing::{digest, random};
use std::fmt;

/// 32 hexadecimal digits, stored inline, because the ID is copied several times per request.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId([u8; DIGITS]);

const DIGITS: usize = 32;

impl RequestId {
    /// A random ID. It is all zeros if no random bytes are available. Such requests cannot be told apart, but no security
    /// depends on the ID.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; DIGITS / 2];
        let _ = random::fill(&mut bytes);
        let mut digits = [0; DIGITS];
        digest::write_hex(&bytes, &mut digits);
        Self(digits)
    }

    /// The ID with these digits. `None` unless they are 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn from_hex(digits: &str) -> Option<Self> {
        let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        let digits: [u8; DIGITS] = digits.as_bytes().try_into().ok()?;
        digits.iter().all(is_digit).then_some(Self(digits))
    }

    /// The hexadecimal digits.
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
