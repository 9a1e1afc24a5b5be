//! Placeholders of path templates and write bodies: parsing, and substitution of encoded values.

use super::claims::claim_to_text;
use crate::model::caller::Caller;
use crate::model::path_encoding;
use crate::model::request::Request;
use serde_json::Value;
use std::borrow::Cow;

/// Maximum length of the value of a claim in bytes. The types of the other values have their own limits.
const MAX_CLAIM_BYTES: usize = 1024;

/// Detail of the fault for an unknown placeholder.
const UNKNOWN_PLACEHOLDER_DETAIL: &str = "a placeholder is one of {repo}, {branch}, {namespace}, {serviceAccount}, {claims.NAME}, \
                     {claims[\"NAME\"]}, {repo|path}, {branch|path}";

/// Detail of the fault for `{claims.NAME}` with a name that needs brackets.
const UNQUOTED_NAME_DETAIL: &str = "a claim whose name is not an identifier (letters, digits and _, no digit first) is written \
                     {claims[\"a.b\"]}";

/// Which names `{claims.NAME}` may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlainClaims {
    /// Identifiers, as in expressions, where `claims.a.b` is a member of the claim `a`.
    Identifiers,
    /// Also names with `.`, `:` and `-`, or with a digit first. Policies that an older version stored may have them; each is the name
    /// of one claim.
    AsStored,
}

/// The value that a placeholder stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Variable {
    Repo,
    Branch,
    Namespace,
    ServiceAccount,
    Claim(Box<str>),
}

/// A placeholder: a variable, and how its value is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Placeholder {
    /// A `/` in the value is encoded, so that the value is exactly one path segment.
    Segment(Variable),
    /// A `/` in the value stays, and each part between slashes is encoded.
    Path(Variable),
}

impl Placeholder {
    /// Parses the text between the braces.
    ///
    /// # Errors
    /// A text that lists the valid placeholders, or says how the name of the claim is written.
    pub(super) fn parse(inner: &str, plain_claims: PlainClaims) -> Result<Self, &'static str> {
        Ok(match inner {
            "repo" => Self::Segment(Variable::Repo),
            "branch" => Self::Segment(Variable::Branch),
            "namespace" => Self::Segment(Variable::Namespace),
            "serviceAccount" => Self::Segment(Variable::ServiceAccount),
            "repo|path" => Self::Path(Variable::Repo),
            "branch|path" => Self::Path(Variable::Branch),
            other => {
                let plain = other.strip_prefix("claims.").filter(|name| is_unquoted_claim(name));
                if plain_claims == PlainClaims::Identifiers && plain.is_some_and(|name| !is_identifier(name)) {
                    return Err(UNQUOTED_NAME_DETAIL);
                }
                let quoted = other.strip_prefix("claims[\"").and_then(|rest| rest.strip_suffix("\"]"));
                let name =
                    plain.or_else(|| quoted.filter(|name| is_quoted_claim(name))).ok_or(UNKNOWN_PLACEHOLDER_DETAIL)?;
                Self::Segment(Variable::Claim(name.into()))
            }
        })
    }

    /// Appends the encoded value. `None` if the caller has no such value, or if the value has no encoding (such as `..`); a part of
    /// it may have been appended then.
    pub(super) fn append_value(&self, text: &mut String, caller: &Caller, request: &Request) -> Option<()> {
        match self {
            Self::Segment(variable) => path_encoding::append(text, &variable.value(caller, request)?),
            Self::Path(variable) => {
                for (index, part) in variable.value(caller, request)?.split('/').enumerate() {
                    if index > 0 {
                        text.push('/');
                    }
                    path_encoding::append(text, part)?;
                }
                Some(())
            }
        }
    }
}

/// The byte index of the brace that closes the one at the beginning of the text; `None` if it is not closed. Braces in a quoted
/// claim name are skipped.
pub(super) fn closing_brace(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().skip(1).find_map(|(index, c)| {
        quoted ^= c == '"';
        (c == '}' && !quoted).then_some(index)
    })
}

impl Variable {
    /// The value. `None` if the caller does not have it, or a claim is inexact, is not a scalar, or is longer than
    /// [`MAX_CLAIM_BYTES`].
    fn value<'a>(&self, caller: &'a Caller, request: &'a Request) -> Option<Cow<'a, str>> {
        match self {
            Self::Repo => Some(Cow::Borrowed(request.repo.as_str())),
            Self::Branch => Some(Cow::Borrowed(request.branch.as_str())),
            Self::Namespace => caller.service_account().map(|(namespace, _)| Cow::Borrowed(namespace)),
            Self::ServiceAccount => caller.service_account().map(|(_, name)| Cow::Borrowed(name)),
            Self::Claim(name) => {
                let claim = caller.claims.get(&**name).filter(|claim| !is_inexact(claim))?;
                claim_to_text(claim).filter(|text| text.len() <= MAX_CLAIM_BYTES)
            }
        }
    }
}

/// Whether a claim was parsed as `f64`. Such a claim is not used: two different numbers may become the same `f64`, so two callers
/// would get the same path.
fn is_inexact(claim: &Value) -> bool {
    matches!(claim, Value::Number(number) if number.is_f64())
}

fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_unquoted_claim(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
}

/// A name with a quote or a backslash is not supported, because there are no escapes.
fn is_quoted_claim(name: &str) -> bool {
    !name.is_empty() && !name.contains(['"', '\\']) && !name.contains(char::is_control)
}
