//! A fault in a document, with its place.

/// A fault in a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The place, as a JSON pointer (RFC 6901). Empty for the whole document.
    pub pointer: String,
    /// What is wrong. It contains no value of the document, because that may be secret.
    pub detail: String,
}

impl Fault {
    /// A fault at a JSON pointer.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }

    /// Adds a fault to a list. Returns `None`, in place of the value that has the fault.
    pub fn record_none<T>(faults: &mut Vec<Self>, pointer: impl Into<String>, detail: impl Into<String>) -> Option<T> {
        faults.push(Self::new(pointer, detail));
        None
    }

    /// The place in the notation of the configuration: `tickets.maxTtl`, `stores[0].name`.
    #[must_use]
    pub fn dotted_path(&self) -> String {
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

/// Describes an error of the YAML parser by place and kind. The parser's message is not used, because it shows the lines around the
/// error, which may hold a secret. Only the messages of the scanner are used: they quote at most one character.
pub(super) fn syntax_error_detail(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    let kind = match error.without_snippet() {
        Error::DuplicateMappingKey { .. } => "duplicate key",
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

/// Escapes one reference token of a JSON pointer (RFC 6901, section 3).
#[must_use]
pub fn escape_pointer_token(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}
