//! Secret texts (values, bearer tokens, passwords), and secrets as stores return them.

use crate::sealing::digest;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// A secret text. It has no `Display` and a redacted `Debug`, is overwritten on drop, and is compared in constant time.
#[derive(Clone)]
pub struct SecretValue(SecretString);

impl SecretValue {
    /// Takes ownership of the text. A text with spare capacity is copied, because shrinking it in place may leave
    /// the old buffer behind.
    #[must_use]
    pub fn new(text: String) -> Self {
        if text.len() == text.capacity() {
            return Self(text.into());
        }
        let text = Zeroizing::new(text);
        Self(text.as_str().into())
    }

    /// The secret text. Clippy disallows this method; each use states its reason with `#[expect]`.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the only call; clippy disallows this method too")]
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }

    #[expect(clippy::disallowed_methods, reason = "for length and comparison only")]
    fn as_bytes(&self) -> &[u8] {
        self.expose_secret().as_bytes()
    }

    /// The length in bytes, which is not secret.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// The length in bytes of the decoded text, if the text is base64 with padding and without line breaks.
    #[must_use]
    pub fn base64_decoded_len(&self) -> usize {
        let text = self.as_bytes();
        let padding = text.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
        (text.len() / 4 * 3).saturating_sub(padding)
    }

    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl PartialEq for SecretValue {
    fn eq(&self, other: &Self) -> bool {
        digest::constant_time_eq(self.as_bytes(), other.as_bytes())
    }
}

impl Eq for SecretValue {}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(***)")
    }
}

/// A secret read from a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The values by key. A number or boolean is its JSON text, digit for digit; an object or array is compact JSON; a JSON null is
    /// `None`.
    pub data: BTreeMap<String, Option<SecretValue>>,
    /// The version of the secret, if the store has versions. It is not secret.
    pub version: Option<String>,
    /// When this version was created, if the store states it.
    pub created_at: Option<Timestamp>,
    /// Whether the store was unreachable, so that this is an older cached secret.
    pub stale: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_is_redacted() {
        assert_eq!(format!("{:?}", SecretValue::new("hunter2".into())), "SecretValue(***)");
    }

    #[test]
    fn equality_compares_the_text_and_ignores_capacity() {
        let mut roomy = String::with_capacity(64);
        roomy.push_str("hunter2");
        let [one, other] = [roomy, "hunter2".to_owned()].map(SecretValue::new);
        assert_eq!(one, other);
        assert_ne!(one, SecretValue::new("hunter3".into()));
        assert_ne!(one, SecretValue::new("hunter".into()));
        assert_eq!((one.len(), one.is_empty(), SecretValue::new(String::new()).is_empty()), (7, false, true));
    }
}
