//! `GET` or `POST /v1/downloads/{ticket}`: the one-time download.

use super::Edge;
use super::answer::{Failure, method_not_allowed};
use crate::broker::{Context, Redeem, Redeemed};
use crate::model::format::Format;
use crate::wire::problem::Code;
use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

/// The handler. `HEAD` and the rest come here too, because a router that answers `HEAD` by running `GET` would burn tickets.
pub async fn handle(State(edge): State<Edge>, Extension(context): Extension<Context>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match parts.method {
        Method::GET | Method::POST => redeem(&edge, context, &parts).await.into_response(),
        other => method_not_allowed(&other, "GET, POST"),
    }
}

async fn redeem(edge: &Edge, context: Context, request: &Parts) -> Result<Response, Failure> {
    let headers = &request.headers;
    if ["sec-purpose", "purpose", "x-moz"].iter().any(|name| headers.contains_key(*name)) {
        return Err(Code::PrefetchRefused.into());
    }
    if headers.contains_key("idempotency-key") {
        return Err(invalid("Idempotency-Key is not supported by this version"));
    }
    let format = format_of(request.uri.query().unwrap_or_default(), headers)?;
    // The raw path: a percent-encoded ticket is not the canonical spelling.
    let token = request.uri.path().rsplit('/').next().and_then(|segment| segment.parse().ok());
    Ok(download(edge.broker.redeem(Redeem { token, format, context }).await?)?)
}

fn download(redeemed: Redeemed) -> Result<Response, Code> {
    let bytes = redeemed.rendered.bytes;
    let repr_digest = format!("sha-256=:{}:", STANDARD.encode(digest(&SHA256, &bytes)));
    // The connection's buffers are the kernel's and hyper's from here on.
    let mut response = Response::new(Body::from(bytes.to_vec()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(redeemed.rendered.media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("repr-digest", HeaderValue::from_str(&repr_digest).map_err(|_| Code::Internal)?);
    headers.insert("x-claviger-versions", HeaderValue::from_str(&redeemed.versions).map_err(|_| Code::Internal)?);
    if redeemed.stale {
        headers.insert("x-claviger-stale", HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The query wins over `Accept`. A misspelt parameter is refused rather than ignored: the ticket is not consumed by it.
fn format_of(query: &str, headers: &HeaderMap) -> Result<Format, Failure> {
    let mut asked = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("format", word)) if asked.is_none() => {
                asked = Some(word.parse().map_err(|_| invalid("format must be one of export, dotenv, json"))?);
            }
            Some(("format", _)) => return Err(invalid("format is repeated")),
            _ => return Err(invalid("the only query parameter here is format")),
        }
    }
    Ok(asked.unwrap_or_else(|| accepted(headers)))
}

/// JSON where `Accept` puts it first, else the default.
fn accepted(headers: &HeaderMap) -> Format {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let first = accept.split([',', ';']).next().unwrap_or_default().trim();
    if first.eq_ignore_ascii_case(Format::Json.media_type()) { Format::Json } else { Format::default() }
}

fn invalid(detail: &'static str) -> Failure {
    Failure::new(Code::InvalidRequest, Some(detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(query: &str, accept: Option<&str>) -> Option<Format> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, accept.parse().expect("a header"));
        }
        format_of(query, &headers).ok()
    }

    #[test]
    fn the_query_wins_over_accept() {
        assert_eq!(chosen("", None), Some(Format::Export));
        assert_eq!(chosen("", Some("*/*")), Some(Format::Export));
        assert_eq!(chosen("", Some("application/json")), Some(Format::Json));
        assert_eq!(chosen("", Some("Application/JSON;q=0.9, text/plain")), Some(Format::Json));
        assert_eq!(chosen("format=dotenv", Some("application/json")), Some(Format::Dotenv));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for query in [
            "format=raw",
            "format=tar",
            "format=",
            "format",
            "format=JSON",
            "format=json&format=json",
            "fromat=json",
            "key=A",
            "x",
        ] {
            assert_eq!(chosen(query, None), None, "{query} was taken");
        }
    }
}
