//! The query of `GET /v1/audit`: a filter, and a page without a default limit. An error detail lists the allowed values.

use super::paging::{parse_cursor, parse_limit};
use super::percent_decoding;
use super::query::{invalid, parameters};
use super::responses::ApiError;
use crate::broker::{Cursor, EventType, Filter, Outcome};
use crate::model::branch::Branch;
use crate::model::repo::Repo;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use jiff::Timestamp;

/// Maximum length of a subject; a longer one is refused.
const MAX_SUBJECT_BYTES: usize = 4096;
const TICKET_ID_BYTES: usize = 16;

/// The selection of events.
#[derive(Debug)]
pub struct AuditQuery {
    pub filter: Filter,
    pub after: Option<Cursor>,
    pub limit: Option<usize>,
}

extract!(AuditQuery, |parts| parse(&parts.uri));

fn parse(uri: &Uri) -> Result<AuditQuery, ApiError> {
    const NAMES: [&str; 10] =
        ["since", "until", "type", "subject", "repo", "branch", "ticketId", "outcome", "limit", "continue"];
    let [since, until, kind, subject, repo, branch, ticket_id, outcome, limit, after] = parameters(uri, NAMES)?;
    let filter = Filter {
        since: parse_decoded(since, |value| parse_time("since", value))?,
        until: parse_decoded(until, |value| parse_time("until", value))?,
        kind: parse_decoded(kind, parse_kind)?,
        outcome: parse_decoded(outcome, parse_outcome)?,
        subject: parse_decoded(subject, parse_subject)?,
        repo: parse_decoded(repo, |value| Repo::try_from(value).map_err(|_| not_a_name("repo")))?,
        branch: parse_decoded(branch, |value| Branch::try_from(value).map_err(|_| not_a_name("branch")))?,
        ticket_id: parse_decoded(ticket_id, parse_ticket_id)?,
    };
    if let (Some(since), Some(until)) = (filter.since, filter.until)
        && since >= until
    {
        return Err(invalid("since must be before until"));
    }
    Ok(AuditQuery { filter, after: after.map(parse_cursor).transpose()?, limit: limit.map(parse_limit).transpose()? })
}

/// Percent-decodes a value, if there is one, and parses it.
pub fn parse_decoded<T>(
    value: Option<&str>,
    parse: impl Fn(&str) -> Result<T, ApiError>,
) -> Result<Option<T>, ApiError> {
    let decode = |value| percent_decoding::decode(value).map_err(|_| invalid("the query is not percent-encoded UTF-8"));
    value.map(|value| parse(&decode(value)?)).transpose()
}

/// Parses the time in the parameter `name`.
pub fn parse_time(name: &str, text: &str) -> Result<Timestamp, ApiError> {
    let malformed =
        || invalid(&format!("{name} must be a time in RFC 3339, as 2026-01-31T12:00:00Z (a + is written %2B)"));
    // Other characters are refused, because jiff also accepts other formats, such as a time zone in brackets.
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || b"-:.+TtZz".contains(&b));
    text.parse().ok().filter(|_| is_plain).ok_or_else(malformed)
}

fn parse_kind(text: &str) -> Result<EventType, ApiError> {
    let names = || EventType::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    EventType::from_name(text).ok_or_else(|| invalid(&format!("type must be one of {}", names())))
}

fn parse_outcome(text: &str) -> Result<Outcome, ApiError> {
    Outcome::from_name(text).ok_or_else(|| invalid("outcome must be one of ok, denied, failed"))
}

fn parse_subject(text: &str) -> Result<String, ApiError> {
    let is_valid = !text.is_empty() && text.len() <= MAX_SUBJECT_BYTES;
    if is_valid { Ok(text.to_owned()) } else { Err(invalid("subject must have 1 to 4096 bytes")) }
}

fn not_a_name(parameter: &str) -> ApiError {
    invalid(&format!("{parameter} must be the full name of a {parameter}, not a pattern"))
}

fn parse_ticket_id(text: &str) -> Result<String, ApiError> {
    let is_valid = URL_SAFE_NO_PAD.decode(text).is_ok_and(|id| id.len() == TICKET_ID_BYTES);
    if is_valid { Ok(text.to_owned()) } else { Err(invalid("ticketId must be a ticket's public id, of 22 characters")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::paging::encode_token;

    fn parse(query: &str) -> Result<AuditQuery, ApiError> {
        super::parse(&format!("/?{query}").parse().expect("a target"))
    }

    #[test]
    fn every_parameter_is_parsed() {
        let query = parse(
            "since=2026-01-31T12:00:00%2B01:00&until=2026-02-01T00:00:00.5Z&type=ticket.issued&subject=a%3Ab+c\
             &repo=apps%2Fsite&branch=f%2Fx&ticketId=gY6kspFxJw_tXlQ5kyq8pQ&outcome=ok&limit=7",
        )
        .expect("good");
        let Filter { since, until, kind, outcome, subject, repo, branch, ticket_id } = query.filter;
        assert_eq!(since.map(|time| time.to_string()).as_deref(), Some("2026-01-31T11:00:00Z"));
        assert_eq!(until.map(|time| time.to_string()).as_deref(), Some("2026-02-01T00:00:00.5Z"));
        assert_eq!((kind, outcome), (Some(EventType::TicketIssued), Some(Outcome::Ok)));
        assert_eq!(subject.as_deref(), Some("a:b c"));
        assert_eq!(
            (repo.as_ref().map(Repo::as_str), branch.as_ref().map(Branch::as_str)),
            (Some("apps/site"), Some("f/x"))
        );
        assert_eq!((ticket_id.as_deref(), query.limit), (Some("gY6kspFxJw_tXlQ5kyq8pQ"), Some(7)));
        let nothing = parse("").expect("good");
        assert_eq!((nothing.filter, nothing.after, nothing.limit), (Filter::default(), None, None));
        let after = Cursor { time: "2026-01-01T00:00:00.000001Z".into(), row: 9 };
        let encoded = encode_token(&after.to_string());
        assert_eq!(parse(&format!("continue={encoded}")).expect("good").after, Some(after));
    }

    #[test]
    fn invalid_parameters_are_refused() {
        for query in [
            "since=yesterday",
            "since=",
            "since=2026-01-31",
            "since=2026-01-31T12:00:00",
            "since=2026-01-31T12:00:00+01:00",
            "since=2026-01-31T12:00:00Z[UTC]",
            "since=2026-02-30T00:00:00Z",
            "until=1h",
            "since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
            "since=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00Z",
            "type=ticket",
            "type=Ticket.Issued",
            "type=",
            "outcome=good",
            "subject=",
            "repo=",
            "repo=a%2F..%2Fb",
            "repo=*",
            "branch=a..b",
            "branch=",
            "branch=%ff",
            "branch=%zz",
            "ticketId=x",
            "ticketId=gY6kspFxJw_tXlQ5kyq8pR",
            "limit=0",
            "limit=1001",
            "continue=x",
            "continue=MQ",
            "ticketid=gY6kspFxJw_tXlQ5kyq8pQ",
            "repo=a&repo=a",
            "x=1",
            "repo",
        ] {
            assert!(parse(query).is_err(), "{query} was accepted");
        }
    }
}
