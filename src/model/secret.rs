//! The one type that secrets live in: values, bearer tokens, keys.

use std::fmt;
use zeroize::Zeroizing;

/// A secret text. It has no `Display`, a redacted `Debug`, and is overwritten when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Zeroizing<String>);

impl SecretValue {
    /// Takes the text over without copying it; what spare capacity it has is overwritten on drop too.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself. Clippy forbids the call; each use says with `#[expect]` why it is needed there.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }

    /// Its length in bytes, which is no secret.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_the_value_nor_its_length() {
        assert_eq!(format!("{:?}", SecretValue::new("hunter2".into())), "SecretValue(***)");
    }
}
