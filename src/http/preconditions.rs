//! `ETag`, `If-Match` and `If-None-Match` (RFC 9110, 8.8.3 and 13): a policy's revision in quotes, always a strong one.

use super::answer::Failure;
use super::edge::Edge;
use super::query::invalid;
use crate::broker::Precondition;
use crate::wire::problem::Code;
use axum::extract::FromRequestParts;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Maximum number of validators in one request.
const MAX_TAGS: usize = 32;

enum Tags {
    Any,
    Some(Vec<Tag>),
}

struct Tag {
    weak: bool,
    value: String,
}

impl FromRequestParts<Edge> for Precondition {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Edge) -> Result<Self, Failure> {
        of_write(&parts.headers)
    }
}

/// The precondition of a write.
fn of_write(headers: &HeaderMap) -> Result<Precondition, Failure> {
    match (tags(headers, &IF_MATCH)?, tags(headers, &IF_NONE_MATCH)?) {
        (None, None) => Ok(Precondition::None),
        (Some(Tags::Any), None) => Ok(Precondition::Exists),
        // A weak validator never matches here: it may stand for two revisions that differ.
        (Some(Tags::Some(tags)), None) => {
            Ok(Precondition::OneOf(tags.into_iter().filter(|tag| !tag.weak).map(|tag| tag.value).collect()))
        }
        (None, Some(Tags::Any)) => Ok(Precondition::Absent),
        (None, Some(Tags::Some(_))) => Err(invalid("If-None-Match must be * on a write")),
        (Some(_), Some(_)) => Err(invalid("If-Match and If-None-Match cannot both be given")),
    }
}

/// Whether the client already has this revision.
pub fn has(headers: &HeaderMap, revision: &str) -> Result<bool, Failure> {
    Ok(match tags(headers, &IF_NONE_MATCH)? {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::Some(tags)) => tags.iter().any(|tag| tag.value == revision),
    })
}

/// The `ETag` of a revision.
pub fn etag(revision: &str) -> Result<HeaderValue, Code> {
    HeaderValue::from_str(&format!("\"{revision}\"")).map_err(|_| Code::Internal)
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Failure> {
    let malformed = || invalid("If-Match or If-None-Match is not *, nor a list of quoted revisions");
    let mut found = Vec::new();
    for line in headers.get_all(name) {
        let mut rest = line.to_str().map_err(|_| malformed())?.trim();
        if rest == "*" && headers.get_all(name).iter().count() == 1 {
            return Ok(Some(Tags::Any));
        }
        while !rest.is_empty() {
            let (weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |rest| (true, rest));
            let (value, after) =
                quoted.strip_prefix('"').and_then(|quoted| quoted.split_once('"')).ok_or_else(malformed)?;
            found.push(Tag { weak, value: value.to_owned() });
            rest = match after.trim_start() {
                "" => "",
                after => after.strip_prefix(',').ok_or_else(malformed)?.trim_start(),
            };
        }
        if found.is_empty() || found.len() > MAX_TAGS {
            return Err(malformed());
        }
    }
    Ok((!found.is_empty()).then_some(Tags::Some(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[(&'static str, &str)]) -> Option<Precondition> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a header"));
        }
        of_write(&headers).ok()
    }

    #[test]
    fn a_writer_says_what_is_to_be_there() {
        let one_of = |tags: &[&str]| Some(Precondition::OneOf(tags.iter().map(|tag| (*tag).to_owned()).collect()));
        assert_eq!(of(&[]), Some(Precondition::None));
        assert_eq!(of(&[("if-match", "*")]), Some(Precondition::Exists));
        assert_eq!(of(&[("if-none-match", "*")]), Some(Precondition::Absent));
        assert_eq!(of(&[("if-match", "\"7\"")]), one_of(&["7"]));
        assert_eq!(of(&[("if-match", "\"7\" , \"8,9\""), ("if-match", "\"a\"")]), one_of(&["7", "8,9", "a"]));
        assert_eq!(of(&[("if-match", "W/\"7\"")]), one_of(&[]), "matches nothing");
    }

    #[test]
    fn what_is_neither_is_refused() {
        for lines in [
            &[("if-match", "7")][..],
            &[("if-match", "")],
            &[("if-match", "\"7")],
            &[("if-match", "\"7\" \"8\"")],
            &[("if-match", "*, \"7\"")],
            &[("if-match", "*"), ("if-match", "\"7\"")],
            &[("if-match", "w/\"7\"")],
            &[("if-none-match", "\"7\"")],
            &[("if-match", "\"7\""), ("if-none-match", "*")],
        ] {
            assert_eq!(of(lines), None, "{lines:?}");
        }
    }
}
