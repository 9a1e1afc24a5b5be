//! The query of `/v1/audit`: which events. What is wrong with it is told with what is allowed.

use super::answer::Failure;
use super::query::{cursor, limit, pairs};
use super::ticket_body::decode;
use crate::broker::{Cursor, EventType, Filter, Outcome};
use crate::model::branch::Branch;
use crate::model::repo::Repo;
use crate::wire::problem::Code;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

/// More than any subject has.
const MAX_SUBJECT_BYTES: usize = 4096;
const TICKET_ID_BYTES: usize = 16;
const PARAMETERS: &str = "the query may have since, until, type, subject, repo, branch, ticketId, outcome, limit and \
     continue, each once";

/// What is asked.
#[derive(Debug)]
pub struct Asked {
    /// Which events.
    pub filter: Filter,
    /// Behind which place.
    pub after: Option<Cursor>,
    /// How many, where it is said.
    pub limit: Option<usize>,
}

/// Reads it.
pub fn read(query: &str) -> Result<Asked, Failure> {
    let mut asked = Asked { filter: Filter::default(), after: None, limit: None };
    let filter = &mut asked.filter;
    for (name, value) in pairs(query) {
        let value = decode(value).map_err(|_| invalid("the query is not percent-encoded UTF-8"))?;
        let repeated = match name {
            "since" => filter.since.replace(time("since", &value)?).is_some(),
            "until" => filter.until.replace(time("until", &value)?).is_some(),
            "type" => filter.kind.replace(kind(&value)?).is_some(),
            "outcome" => filter.outcome.replace(outcome(&value)?).is_some(),
            "subject" => filter.subject.replace(subject(&value)?).is_some(),
            "repo" => filter.repo.replace(Repo::try_from(&*value).map_err(|_| no_name("repo"))?).is_some(),
            "branch" => filter.branch.replace(Branch::try_from(&*value).map_err(|_| no_name("branch"))?).is_some(),
            "ticketId" => filter.ticket_id.replace(ticket_id(&value)?).is_some(),
            "limit" => asked.limit.replace(limit(&value)?).is_some(),
            "continue" => asked.after.replace(cursor(&value)?).is_some(),
            _ => return Err(invalid(PARAMETERS)),
        };
        if repeated {
            return Err(invalid(PARAMETERS));
        }
    }
    if let (Some(since), Some(until)) = (filter.since, filter.until)
        && since >= until
    {
        return Err(invalid("since must be before until"));
    }
    Ok(asked)
}

fn time(name: &str, text: &str) -> Result<Timestamp, Failure> {
    let wrong = || invalid(&format!("{name} must be a time in RFC 3339, as 2026-01-31T12:00:00Z (a + is written %2B)"));
    // The parser also takes other spellings of a time.
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || b"-:.+TtZz".contains(&b));
    text.parse().ok().filter(|_| is_plain).ok_or_else(wrong)
}

fn kind(text: &str) -> Result<EventType, Failure> {
    let words = || EventType::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    let kind = EventType::ALL.iter().find(|kind| kind.as_str() == text);
    kind.copied().ok_or_else(|| invalid(&format!("type must be one of {}", words())))
}

fn outcome(text: &str) -> Result<Outcome, Failure> {
    let outcome = Outcome::ALL.iter().find(|outcome| outcome.as_str() == text);
    outcome.copied().ok_or_else(|| invalid("outcome must be one of ok, denied, failed"))
}

fn subject(text: &str) -> Result<String, Failure> {
    let good = !text.is_empty() && text.len() <= MAX_SUBJECT_BYTES;
    if good { Ok(text.to_owned()) } else { Err(invalid("subject must have 1 to 4096 bytes")) }
}

fn no_name(of: &str) -> Failure {
    invalid(&format!("{of} must be the whole name of a {of}, and no pattern"))
}

fn ticket_id(text: &str) -> Result<String, Failure> {
    let good = URL_SAFE_NO_PAD.decode(text).is_ok_and(|id| id.len() == TICKET_ID_BYTES);
    if good { Ok(text.to_owned()) } else { Err(invalid("ticketId must be a ticket's public id, of 22 characters")) }
}

fn invalid(detail: &str) -> Failure {
    Failure::new(Code::InvalidRequest, Some(detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_is_read() {
        let asked = read(
            "since=2026-01-31T12:00:00%2B01:00&until=2026-02-01T00:00:00.5Z&type=ticket.issued&subject=a%3Ab+c\
             &repo=apps%2Fsite&branch=f%2Fx&ticketId=gY6kspFxJw_tXlQ5kyq8pQ&outcome=ok&limit=7",
        )
        .expect("good");
        let Filter { since, until, kind, outcome, subject, repo, branch, ticket_id } = asked.filter;
        assert_eq!(since.map(|time| time.to_string()).as_deref(), Some("2026-01-31T11:00:00Z"));
        assert_eq!(until.map(|time| time.to_string()).as_deref(), Some("2026-02-01T00:00:00.5Z"));
        assert_eq!((kind, outcome), (Some(EventType::TicketIssued), Some(Outcome::Ok)));
        assert_eq!(subject.as_deref(), Some("a:b c"));
        assert_eq!(
            (repo.as_ref().map(Repo::as_str), branch.as_ref().map(Branch::as_str)),
            (Some("apps/site"), Some("f/x"))
        );
        assert_eq!((ticket_id.as_deref(), asked.limit), (Some("gY6kspFxJw_tXlQ5kyq8pQ"), Some(7)));
        let nothing = read("").expect("good");
        assert_eq!((nothing.filter, nothing.after, nothing.limit), (Filter::default(), None, None));
        let after = Cursor { time: "2026-01-01T00:00:00.000001Z".into(), row: 9 };
        let encoded = crate::http::query::encode(&after.to_string());
        assert_eq!(read(&format!("continue={encoded}")).expect("good").after, Some(after));
    }

    #[test]
    fn everything_else_is_refused() {
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
            assert!(read(query).is_err(), "{query} was taken");
        }
    }
}
