//! `GET /v1/claviger/data/{repo}/{branch}`: returns a bundle as a secret of KV version 2.

use super::bundle_name;
use super::headers;
use super::refusal::{self, Refusal};
use super::responses::json;
use super::vault_request::VaultRequest;
use crate::broker::{Delivered, DeliveryMode, Error, IssueRequest, version_number};
use crate::model::format::Format;
use crate::wire::problem::Code;
use crate::wire::ticket::TicketRequest;
use crate::wire::vault::{VaultAnswer, VaultMetadata, VaultRead, VaultSecret};
use axum::body::Bytes;
use axum::response::Response;
use http::{HeaderValue, Method};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// Maximum size of the response body without the bundle, in bytes.
const MAX_ENVELOPE_BYTES: usize = 512;

/// Delivers a bundle directly, if the policies' `delivery` lists `direct`.
#[utoipa::path(
    get,
    path = "/v1/claviger/data/{repo}/{branch}",
    operation_id = "vaultRead",
    tag = "vault",
    params(
        ("repo" = String, Path, description = "The repository, encoded: `[A-Za-z0-9._-]` stay, `/` is `~`, any other byte `=XX`"),
        ("branch" = String, Path, description = "The branch, encoded likewise"),
        ("version" = Option<u64>, Query, description = "0, or the version of the bundle; another one is not found")
    ),
    responses((status = 200, description = "The bundle", body = inline(VaultRead)))
)]
pub(super) async fn read_bundle(request: VaultRequest<'_>, raw_path: Option<&str>) -> Result<Response, Refusal> {
    let query = request.parts.uri.query().unwrap_or_default();
    match request.parts.method {
        Method::GET if !is_list(query) => {}
        Method::HEAD => return Err(refusal::method_not_allowed("GET")),
        _ => return Err(refusal::denied(refusal::READ_ONLY_DETAIL)),
    }
    let bearer = headers::token(&request.parts.headers);
    let broker = &request.state.broker;
    let caller = broker.authenticate(bearer.as_ref(), &request.context).await?;
    let parsed = bundle_name::parse(raw_path).and_then(|names| Ok((names, parse_version(query)?)));
    let ((repo, branch), version) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            return Err(broker.refuse_unreadable(caller, &request.context, DeliveryMode::Direct, error).await.into());
        }
    };
    let request_id = request.request_id();
    let ticket_request = TicketRequest { repo: Some(repo), branch: Some(branch), ..TicketRequest::default() };
    let issue_request = IssueRequest { caller, body: ticket_request, context: request.context, sizes: false };
    let delivered = broker.deliver(&issue_request, &Format::Json.into(), version).await?;
    if delivered.is_empty {
        return Ok(refusal::no_secrets());
    }
    secret_response(request_id, &delivered, broker.now()).ok_or_else(|| Code::Internal.into())
}

/// The response with the bundle. The buffer has its final capacity from the start, so that no reallocation leaves a copy in memory.
/// `None` if the response cannot be built, which does not occur.
fn secret_response(request_id: String, delivered: &Delivered, now: Timestamp) -> Option<Response> {
    let bytes = &delivered.rendered.bytes;
    let data: &RawValue = serde_json::from_slice(bytes).ok()?;
    let metadata = VaultMetadata {
        created_time: format!("{:.9}", delivered.created_at.unwrap_or(now)),
        custom_metadata: (),
        deletion_time: "",
        destroyed: false,
        version: version_number(&delivered.versions),
    };
    let mut body = Zeroizing::new(Vec::with_capacity(bytes.len() + MAX_ENVELOPE_BYTES));
    serde_json::to_writer(&mut *body, &VaultAnswer::with_data(request_id, VaultSecret { data, metadata })).ok()?;
    let mut response = json(Bytes::from_owner(body));
    response.headers_mut().insert("x-claviger-versions", HeaderValue::from_str(&delivered.versions).ok()?);
    if delivered.stale {
        response.headers_mut().insert("x-claviger-stale", HeaderValue::from_static("true"));
    }
    Some(response)
}

/// The names and values of a query, not decoded.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Whether the query requests a list. Vault parses the value of `list` with Go's `strconv.ParseBool`.
fn is_list(query: &str) -> bool {
    let mut lists = pairs(query).filter(|(name, _)| percent_decode_str(name).eq(b"list".iter().copied()));
    lists.any(|(_, value)| !matches!(value, "" | "0" | "f" | "F" | "false" | "False" | "FALSE"))
}

/// Parses the requested version. `None` for the current one. Other parameters are ignored, as in Vault.
fn parse_version(query: &str) -> Result<Option<u64>, Error> {
    const INVALID_VERSION: Error = Error::InvalidRequest("version must be a number, given at most once");
    let mut versions = pairs(query).filter(|(name, _)| percent_decode_str(name).eq(b"version".iter().copied()));
    let Some((_, value)) = versions.next() else { return Ok(None) };
    if versions.next().is_some() {
        return Err(INVALID_VERSION);
    }
    let value = percent_decode_str(value).decode_utf8().map_err(|_| INVALID_VERSION)?;
    if !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(INVALID_VERSION);
    }
    let number = if value.is_empty() { 0 } else { value.parse().unwrap_or(u64::MAX) };
    Ok(Some(number).filter(|number| *number > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_number() {
        for query in ["", "version=", "version", "version=0", "version=00", "x=1", "&", "%76ersion=0"] {
            assert_eq!(parse_version(query), Ok(None), "{query}");
        }
        for (query, number) in [
            ("version=7", 7),
            ("a=b&version=12", 12),
            ("version=%37", 7),
            ("version=99999999999999999999999", u64::MAX),
        ] {
            assert_eq!(parse_version(query), Ok(Some(number)), "{query}");
        }
        for query in [
            "version=x",
            "version=-1",
            "version=+1",
            "version=1.0",
            "version=1&version=1",
            "version=0&version=0",
            "version=%",
            "version=%ff",
            "version=1e3",
        ] {
            assert!(parse_version(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_list_is_requested_by_its_parameter() {
        assert!(["list=true", "list=1", "version=1&list=true", "%6cist=true"].iter().all(|query| is_list(query)));
        assert!(["", "list=false", "list=F", "list=0", "list=", "lists=true"].iter().all(|query| !is_list(query)));
    }
}
