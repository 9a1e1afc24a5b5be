//! `ETag`, `If-Match` and `If-None-Match` (RFC 9110, sections 8.8.3 and 13). The entity tag of a policy is its revision, always
//! strong.

use super::query::invalid;
use super::responses::ApiError;
use crate::broker::Precondition;
use crate::wire::problem::Code;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Maximum number of entity tags in one header.
const MAX_TAGS: usize = 32;

enum EntityTags {
    Any,
    List(Vec<EntityTag>),
}

struct EntityTag {
    is_weak: bool,
    value: String,
}

extract!(Precondition, |parts| parse_precondition(&parts.headers));

/// Parses the precondition of a write.
fn parse_precondition(headers: &HeaderMap) -> Result<Precondition, ApiError> {
    match (parse_tags(headers, &IF_MATCH)?, parse_tags(headers, &IF_NONE_MATCH)?) {
        (None, None) => Ok(Precondition::None),
        (Some(EntityTags::Any), None) => Ok(Precondition::Exists),
        // `If-Match` uses the strong comparison, in which a weak tag never matches.
        (Some(EntityTags::List(tags)), None) => {
            Ok(Precondition::OneOf(tags.into_iter().filter(|tag| !tag.is_weak).map(|tag| tag.value).collect()))
        }
        (None, Some(EntityTags::Any)) => Ok(Precondition::Absent),
        (None, Some(EntityTags::List(_))) => Err(invalid("If-None-Match must be * on a write")),
        (Some(_), Some(_)) => Err(invalid("If-Match and If-None-Match cannot both be given")),
    }
}

/// Whether `If-None-Match` matches this revision, so the client has it already.
pub fn matches_if_none_match(headers: &HeaderMap, revision: &str) -> Result<bool, ApiError> {
    Ok(match parse_tags(headers, &IF_NONE_MATCH)? {
        None => false,
        Some(EntityTags::Any) => true,
        Some(EntityTags::List(tags)) => tags.iter().any(|tag| tag.value == revision),
    })
}

pub fn etag(revision: &str) -> Result<HeaderValue, Code> {
    HeaderValue::from_str(&format!("\"{revision}\"")).map_err(|_| Code::Internal)
}

/// Parses the entity tags in all lines of a header. `None` without the header.
fn parse_tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<EntityTags>, ApiError> {
    let malformed = || invalid("If-Match and If-None-Match must be * or a list of quoted revisions");
    let mut found = Vec::new();
    for line in headers.get_all(name) {
        let mut rest = line.to_str().map_err(|_| malformed())?.trim();
        if rest == "*" && headers.get_all(name).iter().count() == 1 {
            return Ok(Some(EntityTags::Any));
        }
        while !rest.is_empty() {
            let (is_weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |rest| (true, rest));
            let (value, after) =
                quoted.strip_prefix('"').and_then(|quoted| quoted.split_once('"')).ok_or_else(malformed)?;
            found.push(EntityTag { is_weak, value: value.to_owned() });
            rest = match after.trim_start() {
                "" => "",
                after => after.strip_prefix(',').ok_or_else(malformed)?.trim_start(),
            };
        }
        if found.is_empty() || found.len() > MAX_TAGS {
            return Err(malformed());
        }
    }
    Ok((!found.is_empty()).then_some(EntityTags::List(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[(&'static str, &str)]) -> Option<Precondition> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a header"));
        }
        parse_precondition(&headers).ok()
    }

    #[test]
    fn preconditions_are_parsed() {
        let one_of = |tags: &[&str]| Some(Precondition::OneOf(tags.iter().map(|tag| (*tag).to_owned()).collect()));
        assert_eq!(parse(&[]), Some(Precondition::None));
        assert_eq!(parse(&[("if-match", "*")]), Some(Precondition::Exists));
        assert_eq!(parse(&[("if-none-match", "*")]), Some(Precondition::Absent));
        assert_eq!(parse(&[("if-match", "\"7\"")]), one_of(&["7"]));
        assert_eq!(parse(&[("if-match", "\"7\" , \"8,9\""), ("if-match", "\"a\"")]), one_of(&["7", "8,9", "a"]));
        assert_eq!(parse(&[("if-match", "W/\"7\"")]), one_of(&[]), "matches nothing");
    }

    #[test]
    fn malformed_preconditions_are_refused() {
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
            assert_eq!(parse(lines), None, "{lines:?}");
        }
    }
}
