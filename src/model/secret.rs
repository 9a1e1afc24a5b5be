//! The type of all secret texts: values, bearer tokens, passwords.

use crate::sealing::digest;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// A secret text. It has no `Display`, a redacted `Debug`, is overwritten on drop, and is compared in constant time.
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

    /// The secret itself. Clippy forbids the call; each use gives its reason with `#[expect]`.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one door, which is forbidden itself")]
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }

    #[expect(clippy::disallowed_methods, reason = "for length and comparison only")]
    fn bytes(&self) -> &[u8] {
        self.expose_secret().as_bytes()
    }

    /// The length in bytes, which is not secret.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }
}

impl PartialEq for SecretValue {
    fn eq(&self, other: &Self) -> bool {
        digest::equal(self.bytes(), other.bytes())
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
    /// The values by the store's own key names. Numbers and booleans are their JSON text, digit for digit, objects and
    /// arrays compact JSON; a JSON null is `None`.
    pub data: BTreeMap<String, Option<SecretValue>>,
    /// The store's version of the secret, if it counts versions. Not secret.
    pub version: Option<String>,
    /// When this version was made, if the store says so.
    pub made_at: Option<Timestamp>,
    /// Whether the store was unreachable and this is an older answer.
    pub stale: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_the_value_nor_its_length() {
        assert_eq!(format!("{:?}", SecretValue::new("hunter2".into())), "SecretValue(***)");
    }

    #[test]
    fn equality_is_of_the_text_whatever_its_capacity() {
        let mut roomy = String::with_capacity(64);
        roomy.push_str("hunter2");
        let [one, other] = [roomy, "hunter2".to_owned()].map(SecretValue::new);
        assert_eq!(one, other);
        assert_ne!(one, SecretValue::new("hunter3".into()));
        assert_ne!(one, SecretValue::new("hunter".into()));
        assert_eq!((one.len(), one.is_empty(), SecretValue::new(String::new()).is_empty()), (7, false, true));
    }
}
