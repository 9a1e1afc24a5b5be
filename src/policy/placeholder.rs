//! Placeholders: their syntax, and how values are written.

use super::claims::text_of;
use crate::model::caller::Caller;
use crate::model::request::Request;
use crate::model::spelling;
use serde_json::Value;
use std::borrow::Cow;

/// Maximum length of a claim value in a placeholder. The other values have their own bounds.
const MAX_CLAIM_BYTES: usize = 1024;

const EXPECTED: &str = "a placeholder is one of {repo}, {branch}, {namespace}, {serviceAccount}, {claims.NAME}, \
                     {claims[\"NAME\"]}, {repo|path}, {branch|path}";

/// The value that a placeholder stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Repo,
    Branch,
    Namespace,
    ServiceAccount,
    Claim(Box<str>),
}

/// A placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Placeholder {
    /// Written as one segment.
    One(Source),
    /// Written with its slashes.
    Path(Source),
}

impl Placeholder {
    /// Parses the text between braces.
    pub(super) fn parse(inner: &str) -> Result<Self, &'static str> {
        Ok(match inner {
            "repo" => Self::One(Source::Repo),
            "branch" => Self::One(Source::Branch),
            "namespace" => Self::One(Source::Namespace),
            "serviceAccount" => Self::One(Source::ServiceAccount),
            "repo|path" => Self::Path(Source::Repo),
            "branch|path" => Self::Path(Source::Branch),
            other => {
                let plain = other.strip_prefix("claims.").filter(|name| is_plain_claim(name));
                let quoted = other.strip_prefix("claims[\"").and_then(|rest| rest.strip_suffix("\"]"));
                let name = plain.or_else(|| quoted.filter(|name| is_quoted_claim(name))).ok_or(EXPECTED)?;
                Self::One(Source::Claim(name.into()))
            }
        })
    }

    /// Appends the value; `None` if there is none, or if it cannot be written.
    pub(super) fn fill(&self, text: &mut String, caller: &Caller, request: &Request) -> Option<()> {
        match self {
            Self::One(source) => spelling::write(text, &source.value(caller, request)?),
            Self::Path(source) => {
                for (index, part) in source.value(caller, request)?.split('/').enumerate() {
                    if index > 0 {
                        text.push('/');
                    }
                    spelling::write(text, part)?;
                }
                Some(())
            }
        }
    }
}

/// The position of the closing brace; a quoted name may contain braces.
pub(super) fn closing_brace(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().skip(1).find_map(|(at, c)| {
        quoted ^= c == '"';
        (c == '}' && !quoted).then_some(at)
    })
}

impl Source {
    fn value<'a>(&self, caller: &'a Caller, request: &'a Request) -> Option<Cow<'a, str>> {
        match self {
            Self::Repo => Some(Cow::Borrowed(request.repo.as_str())),
            Self::Branch => Some(Cow::Borrowed(request.branch.as_str())),
            Self::Namespace => caller.service_account().map(|(namespace, _)| Cow::Borrowed(namespace)),
            Self::ServiceAccount => caller.service_account().map(|(_, name)| Cow::Borrowed(name)),
            Self::Claim(name) => {
                let claim = caller.claims.get(&**name).filter(|claim| !is_inexact(claim))?;
                text_of(claim).filter(|text| text.len() <= MAX_CLAIM_BYTES)
            }
        }
    }
}

/// Different numbers of an issuer can become the same float here, and then two callers would share a path.
fn is_inexact(claim: &Value) -> bool {
    matches!(claim, Value::Number(number) if number.is_f64())
}

fn is_plain_claim(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
}

/// There are no escapes, so a name with a quote or a backslash is not supported.
fn is_quoted_claim(name: &str) -> bool {
    !name.is_empty() && !name.contains(['"', '\\']) && !name.contains(char::is_control)
}
