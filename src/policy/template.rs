//! Path templates: `homelab/{repo}/{branch}`. No two values of the placeholders ever give one path.
//!
//! A placeholder is exactly one segment, and its value is written injectively; so a path has as many segments as its
//! template, and each tells its value. One `|path` placeholder may be many segments: all others being one each, its
//! share of the path is known too.

use super::claims::text_of;
use crate::model::caller::Caller;
use crate::model::request::Request;
use serde_json::Value;
use std::borrow::Cow;

/// The most bytes of a template.
const MAX_BYTES: usize = 1024;

/// The most bytes of a claim that goes into a path. The other values have bounds of their own.
const MAX_CLAIM_BYTES: usize = 1024;

/// Where Vault keeps its own affairs, the broker's token among them.
const SYSTEM_MOUNTS: [&str; 4] = ["sys", "auth", "identity", "cubbyhole"];

/// A path with placeholders. The first segment is literal.
#[derive(Debug, Clone)]
pub(super) struct Template(Box<[Segment]>);

/// What stands between two slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// Itself.
    Literal(Box<str>),
    /// One segment.
    One(Word),
    /// The value with its slashes.
    Path(Word),
}

/// What a placeholder stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    Repo,
    Branch,
    Namespace,
    ServiceAccount,
    Claim(Box<str>),
}

/// The text is not a template; the reason says which rule it breaks and never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct InvalidTemplate(&'static str);

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// See [`InvalidTemplate`].
    pub(super) fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        if text.is_empty() {
            return Err(InvalidTemplate("a path must not be empty"));
        }
        if text.len() > MAX_BYTES {
            return Err(InvalidTemplate("a path has at most 1024 bytes"));
        }
        let segments: Box<[Segment]> = text.split('/').map(segment).collect::<Result<_, _>>()?;
        match &segments[0] {
            Segment::Literal(mount) if SYSTEM_MOUNTS.contains(&&**mount) => {
                return Err(InvalidTemplate("a path must not begin with sys, auth, identity or cubbyhole"));
            }
            Segment::Literal(_) => {}
            Segment::One(_) | Segment::Path(_) => {
                return Err(InvalidTemplate("the first segment of a path must be literal"));
            }
        }
        if segments.iter().filter(|segment| matches!(segment, Segment::Path(_))).count() > 1 {
            return Err(InvalidTemplate("a path has at most one |path placeholder"));
        }
        Ok(Self(segments))
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The path for this caller and request; none where a value is missing or cannot be a segment.
    pub(super) fn fill(&self, caller: &Caller, request: &Request) -> Option<String> {
        let mut path = String::new();
        for segment in &self.0 {
            if !path.is_empty() {
                path.push('/');
            }
            match segment {
                Segment::Literal(literal) => path.push_str(literal),
                Segment::One(word) => write_segment(&mut path, &word.value(caller, request)?)?,
                Segment::Path(word) => {
                    for (index, part) in word.value(caller, request)?.split('/').enumerate() {
                        if index > 0 {
                            path.push('/');
                        }
                        write_segment(&mut path, part)?;
                    }
                }
            }
        }
        Some(path)
    }
}

impl Word {
    fn value<'a>(&self, caller: &'a Caller, request: &'a Request) -> Option<Cow<'a, str>> {
        match self {
            Self::Repo => Some(Cow::Borrowed(request.repo.as_str())),
            Self::Branch => Some(Cow::Borrowed(request.branch.as_str())),
            Self::Namespace => caller.workload.as_ref().map(|workload| Cow::Borrowed(&*workload.namespace)),
            Self::ServiceAccount => caller.workload.as_ref().map(|workload| Cow::Borrowed(&*workload.service_account)),
            Self::Claim(name) => {
                let claim = caller.claims.get(&**name).filter(|claim| !is_inexact(claim))?;
                text_of(claim).filter(|text| text.len() <= MAX_CLAIM_BYTES)
            }
        }
    }
}

/// Two numbers as the issuer wrote them may be one float here, and then two callers would share a path.
fn is_inexact(claim: &Value) -> bool {
    matches!(claim, Value::Number(number) if number.is_f64())
}

/// Appends a value as one segment: `[A-Za-z0-9._-]` stay, `/` becomes `~`, every other byte `=` and two hex digits.
fn write_segment(path: &mut String, value: &str) -> Option<()> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if matches!(value, "" | "." | "..") {
        return None;
    }
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => path.push(char::from(byte)),
            b'/' => path.push('~'),
            other => {
                path.push('=');
                path.push(char::from(HEX[usize::from(other >> 4)]));
                path.push(char::from(HEX[usize::from(other & 0xf)]));
            }
        }
    }
    Some(())
}

fn segment(text: &str) -> Result<Segment, InvalidTemplate> {
    if let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return placeholder(inner);
    }
    if text.contains(['{', '}']) {
        return Err(InvalidTemplate("a placeholder must stand alone between slashes"));
    }
    if matches!(text, "" | "." | "..") {
        return Err(InvalidTemplate("no segment of a path may be empty, . or .."));
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'=' | b'-')) {
        return Err(InvalidTemplate("a path has only letters, digits and . _ ~ = - outside placeholders"));
    }
    Ok(Segment::Literal(text.into()))
}

fn placeholder(inner: &str) -> Result<Segment, InvalidTemplate> {
    Ok(match inner {
        "repo" => Segment::One(Word::Repo),
        "branch" => Segment::One(Word::Branch),
        "namespace" => Segment::One(Word::Namespace),
        "serviceAccount" => Segment::One(Word::ServiceAccount),
        "repo|path" => Segment::Path(Word::Repo),
        "branch|path" => Segment::Path(Word::Branch),
        other if other.contains(['{', '}']) => {
            return Err(InvalidTemplate("a placeholder must stand alone between slashes"));
        }
        other => match other.strip_prefix("claims.") {
            Some(name) if is_claim_name(name) => Segment::One(Word::Claim(name.into())),
            _ => {
                return Err(InvalidTemplate(
                    "a placeholder is one of {repo}, {branch}, {namespace}, {serviceAccount}, {claims.NAME}, \
                     {repo|path}, {branch|path}",
                ));
            }
        },
    })
}

fn is_claim_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
}
