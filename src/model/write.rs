//! The body of a write whose response is the secret.

use std::sync::Arc;

/// The body of the write, if an engine needs a write to return the secret (`pki/issue`, `ssh/sign`): one JSON
/// object with sorted members, so that equal bodies are equal texts. Only for engines that create what they
/// return: in a key-value engine it would replace the secret.
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
