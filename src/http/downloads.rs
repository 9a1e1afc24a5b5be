//! `GET` or `POST /v1/downloads/{ticket}`: the one-time download.

use super::answer::{Failure, method_not_allowed};
use super::ticket_body::decode;
use super::{Edge, bearer, bundle};
use crate::broker::{Context, Redeem};
use crate::model::format::Rendering;
use crate::model::idempotency_key::IdempotencyKey;
use crate::wire::problem::Code;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, Method};

/// The handler. `HEAD` and the rest come here too, because a router that answers `HEAD` by running `GET` would burn tickets.
pub async fn handle(State(edge): State<Edge>, Extension(context): Extension<Context>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match parts.method {
        Method::GET | Method::POST => redeem(&edge, context, &parts).await.into_response(),
        other => method_not_allowed(&other, "GET, POST"),
    }
}

/// Redeems a ticket: downloads its bundle, once. A bearer token is required only for tickets bound to an identity.
#[utoipa::path(
    method(get, post),
    path = "/v1/downloads/{ticket}",
    operation_id = "redeemTicket",
    tag = "builds",
    params(
        ("ticket" = String, Path, description = "Last path segment of the one-time URL"),
        ("format" = Option<String>, Query, description = "Format of the bundle (default `export`)", pattern = "^(export|dotenv|dotenv-expand|json|raw|tar|docker-config|npmrc|netrc)$"),
        ("key" = Option<String>, Query, description = "Name of the key for `raw`; required if the bundle has several keys", min_length = 1),
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "If sent with the first download, the same redeemer may repeat a lost download for 30 s")
    ),
    responses((
        status = 200,
        description = "The bundle. The ticket is consumed",
        content(
            (String = "text/plain"),
            (Object = "application/json"),
            (String = "application/octet-stream"),
            (String = "application/x-tar")
        )
    )),
    security((), ("bearer" = []))
)]
pub(super) async fn redeem(edge: &Edge, context: Context, request: &Parts) -> Result<Response, Failure> {
    let headers = &request.headers;
    if ["sec-purpose", "purpose", "x-moz"].iter().any(|name| headers.contains_key(*name)) {
        return Err(Code::PrefetchRefused.into());
    }
    let repeats = idempotency_key(headers)?;
    let rendering = rendering_of(request.uri.query().unwrap_or_default(), headers)?;
    // The raw path: a percent-encoded ticket is not the canonical spelling.
    let token = request.uri.path().rsplit('/').next().and_then(|segment| segment.parse().ok());
    let bearer = bearer::of(headers);
    Ok(bundle::answer(edge.broker.redeem(&Redeem { token, rendering, bearer, repeats, context }).await?)?)
}

/// The one `Idempotency-Key`, if there is any. One that cannot be kept is refused before anything is consumed.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Failure> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().and_then(|text| IdempotencyKey::try_from(text).ok());
    match (key, values.next()) {
        (Some(key), None) => Ok(Some(key)),
        _ => Err(invalid("Idempotency-Key must be there once, with 1 to 255 visible ASCII characters")),
    }
}

/// The query wins over `Accept`. A misspelt parameter is refused rather than ignored: the ticket is not consumed by it.
fn rendering_of(query: &str, headers: &HeaderMap) -> Result<Rendering, Failure> {
    let (mut format, mut key) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("format", word)) if format.is_none() => {
                format = Some(bundle::format(word)?);
            }
            Some(("format", _)) => return Err(invalid("format is repeated")),
            Some(("key", "")) => return Err(invalid("key is empty")),
            Some(("key", name)) if key.is_none() => {
                let name = decode(name).map_err(|_| invalid("key is not percent-encoded UTF-8"))?;
                key = Some(name.into_owned());
            }
            Some(("key", _)) => return Err(invalid("key is repeated")),
            _ => return Err(invalid("the only query parameters here are format and key")),
        }
    }
    let format = format.unwrap_or_else(|| bundle::accepted(headers));
    Rendering::new(format, key).map_err(|_| invalid("key goes with the format raw only"))
}

fn invalid(detail: &'static str) -> Failure {
    Failure::new(Code::InvalidRequest, Some(detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::format::Format;
    use http::header::ACCEPT;

    fn chosen(query: &str, accept: Option<&str>) -> Option<Rendering> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, accept.parse().expect("a header"));
        }
        rendering_of(query, &headers).ok()
    }

    #[test]
    fn the_query_wins_over_accept() {
        for (query, accept, format) in [
            ("", None, Format::Export),
            ("", Some("*/*"), Format::Export),
            ("", Some("text/plain"), Format::Export),
            ("", Some("application/json"), Format::Json),
            ("", Some("Application/JSON;q=0.9, text/plain"), Format::Json),
            ("", Some("application/x-tar"), Format::Tar),
            ("", Some("application/octet-stream"), Format::Raw),
            ("", Some("text/html, application/json"), Format::Export),
            ("format=dotenv", Some("application/json"), Format::Dotenv),
            ("format=tar", Some("application/octet-stream"), Format::Tar),
        ] {
            assert_eq!(chosen(query, accept), Some(format.into()), "{query} {accept:?}");
        }
        for format in Format::ALL {
            assert_eq!(chosen(&format!("format={}", format.as_str()), None), Some(format.into()));
        }
    }

    #[test]
    fn a_key_goes_with_raw() {
        let raw = |key: &str| Rendering::new(Format::Raw, Some(key.into())).ok();
        assert_eq!(chosen("format=raw&key=A", None), raw("A"));
        assert_eq!(chosen("key=A&format=raw", Some("application/json")), raw("A"));
        assert_eq!(chosen("key=A", Some("application/octet-stream")), raw("A"));
        assert_eq!(chosen("format=raw&key=%2Edocker%20config+%C3%A9", None), raw(".docker config é"));
        assert_eq!(chosen("format=raw&key=A=B", None), raw("A=B"));
        for query in ["key=A", "format=json&key=A", "format=tar&key=A", "format=npmrc&key=A"] {
            assert_eq!(chosen(query, None), None, "{query} was taken");
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for query in [
            "format=",
            "format",
            "format=JSON",
            "format=xml",
            "format=json&format=json",
            "format=%6Ason",
            "fromat=json",
            "x",
            "format=raw&key",
            "format=raw&key=",
            "format=raw&key=A&key=A",
            "format=raw&key=A&key=",
            "format=raw&key=%",
            "format=raw&key=%GG",
            "format=raw&key=%FF",
            "format=raw&Key=A",
            "format=raw&%6Bey=A",
        ] {
            assert_eq!(chosen(query, None), None, "{query} was taken");
        }
    }

    #[test]
    fn the_contract_names_every_format() {
        let words = Format::ALL.map(Format::as_str).join("|");
        let contract = crate::http::openapi::text().expect("a document");
        assert!(contract.contains(&format!("^({words})$")), "{words}");
    }
}
