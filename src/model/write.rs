//! The body of a write whose response is the secret.

use std::sync::Arc;

/// The body of the write that a store is asked with, where an engine's read is a write (`pki/issue`, `ssh/sign`): one JSON object,
/// with its members sorted, so that equal bodies are equal texts. Only for engines that make what they answer: at a key-value
/// engine it would replace the secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Write(Arc<str>);

impl Write {
    /// The body with these members.
    #[must_use]
    pub fn new(members: serde_json::Map<String, serde_json::Value>) -> Self {
        Self(serde_json::Value::Object(members).to_string().into())
    }

    /// The JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}
