//! The body of a write request whose response is the secret.

use std::sync::Arc;

/// The body of a write request, for engines that return a secret only to a write (`pki/issue`, `ssh/sign`): a JSON
/// object with sorted members, so that equal bodies are equal texts. Only for engines that create what they
/// return: in a key-value engine the write would replace the secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriteBody(Arc<str>);

impl WriteBody {
    /// A body with these members.
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
