//! The query of a request: closed lists of parameters, each at most once. Everything else is refused.

use super::answer::Failure;
use super::edge::Edge;
use super::percent;
use crate::broker::TicketSelector;
use crate::wire::problem::Code;
use axum::extract::FromRequestParts;
use http::Uri;
use http::request::Parts;
use utoipa::IntoParams;

/// In characters. No store has a longer name, and no path is longer. The contract bounds the name alone, because a longer
/// path, percent-encoded, is refused as a head that is too large.
const MAX_STORE: usize = 253;
const MAX_PATH: usize = 8192;
const MAX_POLICY: usize = 253;
const MAX_SUBJECT: usize = 1024;

/// The values of the named parameters, not decoded. A parameter without `=` is empty.
pub fn parameters<'q, const N: usize>(uri: &'q Uri, names: [&str; N]) -> Result<[Option<&'q str>; N], Failure> {
    let mut values = [None; N];
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = names.iter().position(|known| *known == name).and_then(|at| values.get_mut(at));
        if place.is_none_or(|place| place.replace(value).is_some()) {
            let detail = if N == 0 {
                "no query parameters are allowed".to_owned()
            } else {
                format!("allowed query parameters: {}; each at most once", names.join(", "))
            };
            return Err(invalid(&detail));
        }
    }
    Ok(values)
}

/// A request without parameters.
pub struct NoQuery;

impl FromRequestParts<Edge> for NoQuery {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Edge) -> Result<Self, Failure> {
        parameters(&parts.uri, []).map(|[]| Self)
    }
}

/// Whether a write is validated only.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DryRun {
    /// Validate and answer, but store nothing
    #[param(rename = "dryRun", value_type = Option<bool>)]
    pub dry_run: bool,
}

impl FromRequestParts<Edge> for DryRun {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Edge) -> Result<Self, Failure> {
        dry_run(&parts.uri)
    }
}

fn dry_run(uri: &Uri) -> Result<DryRun, Failure> {
    let [value] = parameters(uri, ["dryRun"])?;
    let value = value.map(|value| value.parse().map_err(|_| invalid("dryRun must be true or false")));
    Ok(DryRun { dry_run: value.transpose()?.unwrap_or(false) })
}

/// The leases of a store: those at a path, or all.
#[derive(Debug, PartialEq, Eq)]
pub struct LeaseSelector {
    pub store: String,
    pub path: Option<String>,
}

impl FromRequestParts<Edge> for LeaseSelector {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Edge) -> Result<Self, Failure> {
        leases(&parts.uri)
    }
}

fn leases(uri: &Uri) -> Result<LeaseSelector, Failure> {
    let [store, path] = parameters(uri, ["store", "path"])?;
    let store = text(store, MAX_STORE)?.ok_or_else(|| invalid("store is missing"))?;
    Ok(LeaseSelector { store, path: text(path, MAX_PATH)? })
}

impl FromRequestParts<Edge> for TicketSelector {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Edge) -> Result<Self, Failure> {
        tickets(&parts.uri)
    }
}

fn tickets(uri: &Uri) -> Result<TicketSelector, Failure> {
    let [policy, subject, repo] = parameters(uri, ["policy", "subject", "repo"])?;
    let selector = TicketSelector {
        policy: text(policy, MAX_POLICY)?,
        subject: text(subject, MAX_SUBJECT)?,
        repo: text(repo, MAX_SUBJECT)?,
    };
    if selector == TicketSelector::default() {
        return Err(invalid("policy, subject or repo is required"));
    }
    Ok(selector)
}

/// Decodes a value of 1 to `max` characters.
fn text(value: Option<&str>, max: usize) -> Result<Option<String>, Failure> {
    let Some(value) = value else { return Ok(None) };
    let decoded = percent::decode(value).map_err(|_| invalid("the query is not percent-encoded UTF-8"))?;
    match decoded.chars().count() {
        0 => Err(invalid("the query has an empty value")),
        length if length > max => Err(invalid("the query has a value that is too long")),
        _ => Ok(Some(decoded.into_owned())),
    }
}

pub fn invalid(detail: &str) -> Failure {
    Failure::new(Code::InvalidRequest, Some(detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(query: &str) -> Uri {
        format!("/?{query}").parse().expect("a target")
    }

    #[test]
    fn leases_are_selected_by_store_and_path() {
        let named = |query: &str| leases(&uri(query)).ok().map(|selector| (selector.store, selector.path));
        assert_eq!(named("store=vault"), Some(("vault".into(), None)));
        let both = Some(("vault".into(), Some("db/creds/a".into())));
        assert_eq!(named("path=db%2Fcreds%2Fa&store=vault"), both);
        assert_eq!(named("store=vault&path=db/creds/a"), both);
        for query in [
            "",
            "store=",
            "path=a",
            "store=a&path=",
            "store=a&store=a",
            "store=a&x=1",
            "store=%ff",
            "store=%",
            "Store=a",
        ] {
            assert_eq!(named(query), None, "{query}");
        }
        let long = |store: usize| named(&format!("store={}", "%C3%A9".repeat(store)));
        assert!(long(MAX_STORE).is_some() && long(MAX_STORE + 1).is_none(), "characters, not bytes");
    }

    #[test]
    fn tickets_are_selected_by_at_least_one_property() {
        let tickets = |query: &str| tickets(&uri(query)).ok();
        let some = |text: &str| Some(text.to_owned());
        let all = TicketSelector { policy: some("p"), subject: some("system:serviceaccount:ci:b"), repo: some("a/b") };
        let encoded = "policy=p&subject=system%3Aserviceaccount:ci:b&repo=a%2Fb";
        assert_eq!(tickets(encoded), Some(all));
        let one = TicketSelector { repo: some("site"), ..TicketSelector::default() };
        assert_eq!(tickets("repo=site"), Some(one));
        for query in ["", "&", "policy=", "repo", "repo=a&repo=a", "x=1", "policy=p&limit=1", "Repo=a", "subject=%ff"] {
            assert!(tickets(query).is_none(), "{query}");
        }
    }

    #[test]
    fn a_dry_run_is_true_or_false() {
        let dry_run = |query: &str| dry_run(&uri(query)).ok().map(|read| read.dry_run);
        assert_eq!(dry_run(""), Some(false));
        assert_eq!(dry_run("dryRun=true"), Some(true));
        assert_eq!(dry_run("dryRun=false"), Some(false));
        for query in
            ["dryRun", "dryRun=", "dryRun=1", "dryRun=True", "dryrun=true", "dryRun=true&dryRun=true", "x=true"]
        {
            assert_eq!(dry_run(query), None, "{query}");
        }
    }

    #[test]
    fn without_parameters_any_query_is_refused() {
        assert!(parameters(&uri(""), []).is_ok() && parameters(&uri("&"), []).is_ok());
        assert!(parameters(&uri("x"), []).is_err() && parameters(&uri("=1"), []).is_err());
    }
}
