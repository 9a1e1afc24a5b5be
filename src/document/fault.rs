//! A fault in a document: its place, and a sentence that repeats no value.

/// A fault in a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Its place: a JSON pointer (RFC 6901); empty for the whole document.
    pub pointer: String,
    /// What is wrong, in a sentence that repeats no value of the document.
    pub detail: String,
}

impl Fault {
    /// A fault at a JSON pointer.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }

    /// The place as written in a configuration: `tickets.maxTtl`, `stores[0].name`.
    #[must_use]
    pub fn dotted(&self) -> String {
        let mut path = String::new();
        for segment in self.pointer.split('/').skip(1) {
            if !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit()) {
                path.push('[');
                path.push_str(segment);
                path.push(']');
            } else {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&segment.replace("~1", "/").replace("~0", "~"));
            }
        }
        path
    }
}

/// The parser's own message shows the lines around the fault, which may hold a secret. Therefore only its place
/// and kind are kept. The scanner's syntax messages quote at most one character.
pub(super) fn ill_formed(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    let kind = match error.without_snippet() {
        Error::DuplicateMappingKey { .. } => "a key stands there twice",
        Error::MultipleDocuments { .. } => "there is more than one document",
        Error::UnknownAnchor { .. } => "an alias has no anchor",
        Error::Budget { .. } | Error::AliasReplayLimitExceeded { .. } | Error::AliasExpansionLimitExceeded { .. } => {
            "it is too large or nested too deeply"
        }
        Error::ExternalMessage { msg, .. } => msg,
        _ => "a value cannot be read",
    };
    match error.location() {
        Some(place) => format!("not well-formed at line {}, column {}: {kind}", place.line(), place.column()),
        None => format!("not well-formed: {kind}"),
    }
}

/// Escapes one reference token of a JSON pointer.
#[must_use]
pub fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}
