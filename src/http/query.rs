//! The extractors of query parameters. Unknown and repeated parameters are refused.

use super::percent_decoding;
use super::responses::ApiError;
use crate::broker::TicketSelector;
use crate::wire::problem::Code;
use http::Uri;
use utoipa::IntoParams;

/// Maximum lengths in characters. The `OpenAPI` document has no maximum for a path, because a percent-encoded path of this length
/// exceeds the maximum size of a request head.
const MAX_STORE_CHARS: usize = 253;
const MAX_PATH_CHARS: usize = 8192;
const MAX_POLICY_CHARS: usize = 253;
const MAX_SUBJECT_CHARS: usize = 1024;

/// Returns the values of these parameters, in this order, not decoded. `None` for a parameter that is not in the query; a parameter
/// without `=` has an empty value.
pub fn parameters<'q, const N: usize>(uri: &'q Uri, names: [&str; N]) -> Result<[Option<&'q str>; N], ApiError> {
    let mut values = [None; N];
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let slot = names.iter().position(|known| *known == name).and_then(|index| values.get_mut(index));
        if slot.is_none_or(|slot| slot.replace(value).is_some()) {
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

/// The extractor that refuses all parameters.
pub struct NoQuery;

extract!(NoQuery, |parts| parameters(&parts.uri, []).map(|[]| Self));

/// The parameter `dryRun`: whether a write is only validated.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DryRun {
    /// Validate and answer, but store nothing
    #[param(rename = "dryRun", value_type = Option<bool>)]
    pub dry_run: bool,
}

extract!(DryRun, |parts| parse_dry_run(&parts.uri));

fn parse_dry_run(uri: &Uri) -> Result<DryRun, ApiError> {
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

extract!(LeaseSelector, |parts| parse_lease_selector(&parts.uri));

fn parse_lease_selector(uri: &Uri) -> Result<LeaseSelector, ApiError> {
    let [store, path] = parameters(uri, ["store", "path"])?;
    let store = decode_text(store, MAX_STORE_CHARS)?.ok_or_else(|| invalid("store is missing"))?;
    Ok(LeaseSelector { store, path: decode_text(path, MAX_PATH_CHARS)? })
}

extract!(TicketSelector, |parts| parse_ticket_selector(&parts.uri));

fn parse_ticket_selector(uri: &Uri) -> Result<TicketSelector, ApiError> {
    let [policy, subject, repo] = parameters(uri, ["policy", "subject", "repo"])?;
    let selector = TicketSelector {
        policy: decode_text(policy, MAX_POLICY_CHARS)?,
        subject: decode_text(subject, MAX_SUBJECT_CHARS)?,
        repo: decode_text(repo, MAX_SUBJECT_CHARS)?,
    };
    if selector == TicketSelector::default() {
        return Err(invalid("policy, subject or repo is required"));
    }
    Ok(selector)
}

/// Percent-decodes a value, if there is one. It must have 1 to `max_chars` characters.
fn decode_text(value: Option<&str>, max_chars: usize) -> Result<Option<String>, ApiError> {
    let Some(value) = value else { return Ok(None) };
    let decoded = percent_decoding::decode(value).map_err(|_| invalid("the query is not percent-encoded UTF-8"))?;
    match decoded.chars().count() {
        0 => Err(invalid("the query has an empty value")),
        length if length > max_chars => Err(invalid("the query has a value that is too long")),
        _ => Ok(Some(decoded.into_owned())),
    }
}

/// `invalid_request` with this detail.
pub fn invalid(detail: &str) -> ApiError {
    ApiError::new(Code::InvalidRequest, Some(detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(query: &str) -> Uri {
        format!("/?{query}").parse().expect("a target")
    }

    #[test]
    fn leases_are_selected_by_store_and_path() {
        let selected =
            |query: &str| parse_lease_selector(&uri(query)).ok().map(|selector| (selector.store, selector.path));
        assert_eq!(selected("store=vault"), Some(("vault".into(), None)));
        let both = Some(("vault".into(), Some("db/creds/a".into())));
        assert_eq!(selected("path=db%2Fcreds%2Fa&store=vault"), both);
        assert_eq!(selected("store=vault&path=db/creds/a"), both);
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
            assert_eq!(selected(query), None, "{query}");
        }
        let long = |chars: usize| selected(&format!("store={}", "%C3%A9".repeat(chars)));
        assert!(long(MAX_STORE_CHARS).is_some() && long(MAX_STORE_CHARS + 1).is_none(), "characters, not bytes");
    }

    #[test]
    fn tickets_are_selected_by_at_least_one_property() {
        let selected = |query: &str| parse_ticket_selector(&uri(query)).ok();
        let some = |text: &str| Some(text.to_owned());
        let all = TicketSelector { policy: some("p"), subject: some("system:serviceaccount:ci:b"), repo: some("a/b") };
        let encoded = "policy=p&subject=system%3Aserviceaccount:ci:b&repo=a%2Fb";
        assert_eq!(selected(encoded), Some(all));
        let one = TicketSelector { repo: some("site"), ..TicketSelector::default() };
        assert_eq!(selected("repo=site"), Some(one));
        for query in ["", "&", "policy=", "repo", "repo=a&repo=a", "x=1", "policy=p&limit=1", "Repo=a", "subject=%ff"] {
            assert!(selected(query).is_none(), "{query}");
        }
    }

    #[test]
    fn a_dry_run_is_true_or_false() {
        let dry_run = |query: &str| parse_dry_run(&uri(query)).ok().map(|parsed| parsed.dry_run);
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
