//! The query of an administrator's request: `limit` and `continue` of lists, `dryRun` of writes, `store` and `path` of
//! leases, `policy`, `subject` and `repo` of tickets. Anything else is refused.

use super::answer::Failure;
use crate::broker::{Page, TicketSelector};
use crate::wire::problem::Code;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;
use std::str::FromStr;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;
/// Characters: no store has a longer name, and no path is longer. The contract bounds the name alone, since a longer path,
/// percent-encoded, is refused as a head that is too large.
const MAX_STORE: usize = 253;
const MAX_PATH: usize = 8192;
const MAX_POLICY: usize = 253;
const MAX_SUBJECT: usize = 1024;

/// What of a list is asked for.
pub fn page<T: FromStr>(query: &str) -> Result<Page<T>, Failure> {
    let (mut limit, mut after) = (None, None);
    for (name, value) in pairs(query) {
        let repeated = match name {
            "limit" => limit.replace(self::limit(value)?).is_some(),
            "continue" => after.replace(cursor(value)?).is_some(),
            _ => return Err(invalid("the query has an unknown parameter")),
        };
        if repeated {
            return Err(invalid("the query repeats a parameter"));
        }
    }
    Ok(Page { after, limit: limit.unwrap_or(DEFAULT_LIMIT) })
}

/// Whether a write is only to be tried.
pub fn dry_run(query: &str) -> Result<bool, Failure> {
    let mut dry_run = None;
    for (name, value) in pairs(query) {
        let value = value.parse().map_err(|_| invalid("dryRun must be true or false"));
        if name != "dryRun" || dry_run.replace(value?).is_some() {
            return Err(invalid("the query has an unknown parameter, or one twice"));
        }
    }
    Ok(dry_run.unwrap_or(false))
}

/// Which leases of a store are meant: those at a path, or all.
pub fn place(query: &str) -> Result<(String, Option<String>), Failure> {
    let (mut store, mut path) = (None, None);
    for (name, value) in pairs(query) {
        let repeated = match name {
            "store" => store.replace(text(value, MAX_STORE)?).is_some(),
            "path" => path.replace(text(value, MAX_PATH)?).is_some(),
            _ => return Err(invalid("the query has an unknown parameter")),
        };
        if repeated {
            return Err(invalid("the query repeats a parameter"));
        }
    }
    Ok((store.ok_or_else(|| invalid("store is missing"))?, path))
}

/// Which tickets are meant, by one property at least.
pub fn tickets(query: &str) -> Result<TicketSelector, Failure> {
    let mut selector = TicketSelector::default();
    for (name, value) in pairs(query) {
        let (place, most) = match name {
            "policy" => (&mut selector.policy, MAX_POLICY),
            "subject" => (&mut selector.subject, MAX_SUBJECT),
            "repo" => (&mut selector.repo, MAX_SUBJECT),
            _ => return Err(invalid("the query has an unknown parameter")),
        };
        if place.replace(text(value, most)?).is_some() {
            return Err(invalid("the query repeats a parameter"));
        }
    }
    if selector == TicketSelector::default() {
        return Err(invalid("policy, subject or repo must be given"));
    }
    Ok(selector)
}

/// Refuses any query.
pub fn none(query: &str) -> Result<(), Failure> {
    match pairs(query).next() {
        None => Ok(()),
        Some(_) => Err(invalid("the query has an unknown parameter")),
    }
}

/// Where the next page begins, as clients are to hand it back: opaque, so that nobody builds on what is in it.
pub fn encode(after: &str) -> String {
    URL_SAFE_NO_PAD.encode(after)
}

/// What was handed back.
pub fn cursor<T: FromStr>(text: &str) -> Result<T, Failure> {
    let after = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    after.and_then(|after| after.parse().ok()).ok_or_else(|| invalid("continue is not what a list answered"))
}

/// A value as it was meant, of one character at least and so many at most: others are no name of anything.
fn text(value: &str, most: usize) -> Result<String, Failure> {
    let decoded = percent_decode_str(value).decode_utf8().map_err(|_| invalid("the query is not UTF-8"))?;
    match decoded.chars().count() {
        0 => Err(invalid("the query has an empty value")),
        length if length > most => Err(invalid("the query has a value that is too long")),
        _ => Ok(decoded.into_owned()),
    }
}

/// The most items of a page.
pub fn limit(text: &str) -> Result<usize, Failure> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let limit = text.parse().ok().filter(|limit| plain && (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| invalid("limit must be a number from 1 to 1000"))
}

/// Names and values, as they stand there.
pub fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn invalid(detail: &'static str) -> Failure {
    Failure::new(Code::InvalidRequest, Some(detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Option<(Option<String>, usize)> {
        page::<String>(query).ok().map(|page| (page.after, page.limit))
    }

    #[test]
    fn a_page_is_read_and_everything_else_refused() {
        assert_eq!(asked(""), Some((None, 100)));
        assert_eq!(asked("limit=1"), Some((None, 1)));
        let next = format!("limit=1000&continue={}", encode("a.b"));
        assert_eq!(asked(&next), Some((Some("a.b".into()), 1000)));
        for query in [
            "limit=0",
            "limit=1001",
            "limit=-1",
            "limit=+1",
            "limit=1.0",
            "limit=",
            "limit",
            "limit=18446744073709551617",
            "limit=1&limit=1",
            "continue=%2e",
            "continue=a.b",
            "continue=_w",
            "Limit=1",
            "x=1",
        ] {
            assert_eq!(asked(query), None, "{query}");
        }
        assert!(page::<i64>(&format!("continue={}", encode("7"))).is_ok());
        assert!(page::<i64>(&format!("continue={}", encode("a"))).is_err());
    }

    #[test]
    fn leases_are_named_by_store_and_path() {
        let named = |query: &str| place(query).ok();
        assert_eq!(named("store=vault"), Some(("vault".into(), None)));
        let both = Some(("vault".into(), Some("db/creds/a".into())));
        assert_eq!(named("path=db%2Fcreds%2Fa&store=vault"), both);
        assert_eq!(named("store=vault&path=db/creds/a"), both);
        for query in ["", "store=", "path=a", "store=a&path=", "store=a&store=a", "store=a&x=1", "store=%ff", "Store=a"]
        {
            assert_eq!(named(query), None, "{query}");
        }
        let long = |store: usize| named(&format!("store={}", "%C3%A9".repeat(store)));
        assert!(long(MAX_STORE).is_some() && long(MAX_STORE + 1).is_none(), "characters, not bytes");
    }

    #[test]
    fn tickets_are_named_by_one_property_at_least() {
        let some = |text: &str| Some(text.to_owned());
        let all = TicketSelector { policy: some("p"), subject: some("system:serviceaccount:ci:b"), repo: some("a/b") };
        let encoded = "policy=p&subject=system%3Aserviceaccount:ci:b&repo=a%2Fb";
        assert_eq!(tickets(encoded).ok(), Some(all));
        let one = TicketSelector { repo: some("site"), ..TicketSelector::default() };
        assert_eq!(tickets("repo=site").ok(), Some(one));
        for query in ["", "&", "policy=", "repo", "repo=a&repo=a", "x=1", "policy=p&limit=1", "Repo=a", "subject=%ff"] {
            assert!(tickets(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_dry_run_is_asked_for_plainly() {
        assert_eq!(dry_run("").ok(), Some(false));
        assert_eq!(dry_run("dryRun=true").ok(), Some(true));
        assert_eq!(dry_run("dryRun=false").ok(), Some(false));
        for query in
            ["dryRun", "dryRun=", "dryRun=1", "dryRun=True", "dryrun=true", "dryRun=true&dryRun=true", "x=true"]
        {
            assert!(dry_run(query).is_err(), "{query}");
        }
    }
}
