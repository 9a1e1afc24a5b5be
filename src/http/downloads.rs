//! `GET` or `POST /v1/downloads/{ticket}`: the one-time download.

use super::bundle_response::{self, format_from_accept, parse_format};
use super::query::{invalid, parameters};
use super::responses::ApiError;
use super::{bearer, observe, path_parameter, percent_decoding};
use crate::broker::{Broker, RedeemRequest};
use crate::model::format::RequestedFormat;
use crate::model::idempotency_key::IdempotencyKey;
use crate::wire::problem::Code;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Uri};
use std::sync::Arc;

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
pub(super) async fn redeem(State(broker): State<Arc<Broker>>, redeem: RedeemRequest) -> Result<Response, ApiError> {
    Ok(bundle_response::build(broker.redeem(&redeem).await?)?)
}

extract!(RedeemRequest, |parts| {
    let context = observe::context(parts)?;
    let headers = &parts.headers;
    if ["sec-purpose", "purpose", "x-moz"].iter().any(|name| headers.contains_key(*name)) {
        return Err(Code::PrefetchRefused.into());
    }
    Ok(Self {
        idempotency_key: parse_idempotency_key(headers)?,
        format: parse_requested_format(&parts.uri, headers)?,
        token: path_parameter::parameter(&parts.uri).parse().ok(),
        bearer: bearer::token(headers),
        context,
    })
});

/// Parses the `Idempotency-Key`. A malformed or repeated header is refused before the ticket is consumed.
fn parse_idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, ApiError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().and_then(|text| IdempotencyKey::try_from(text).ok());
    match (key, values.next()) {
        (Some(key), None) => Ok(Some(key)),
        _ => Err(invalid("Idempotency-Key must be one header of 1 to 255 visible ASCII characters")),
    }
}

/// Parses the format and the key. The query takes precedence over `Accept`. An unknown parameter is refused, so that a misspelt
/// one does not consume the ticket.
fn parse_requested_format(uri: &Uri, headers: &HeaderMap) -> Result<RequestedFormat, ApiError> {
    let [format, key] = parameters(uri, ["format", "key"])?;
    let format = format.map(parse_format).transpose()?.unwrap_or_else(|| format_from_accept(headers));
    let key = match key {
        Some("") => return Err(invalid("key is empty")),
        Some(name) => {
            Some(percent_decoding::decode(name).map_err(|_| invalid("key is not percent-encoded UTF-8"))?.into_owned())
        }
        None => None,
    };
    RequestedFormat::new(format, key).map_err(|_| invalid("key is allowed with the format raw only"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::format::Format;
    use http::header::ACCEPT;

    fn parse(query: &str, accept: Option<&str>) -> Option<RequestedFormat> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, accept.parse().expect("a header"));
        }
        let uri = format!("/?{query}").parse().expect("a target");
        parse_requested_format(&uri, &headers).ok()
    }

    #[test]
    fn the_query_takes_precedence_over_accept() {
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
            assert_eq!(parse(query, accept), Some(format.into()), "{query} {accept:?}");
        }
        for &format in Format::ALL {
            assert_eq!(parse(&format!("format={}", format.as_str()), None), Some(format.into()));
        }
    }

    #[test]
    fn a_key_is_allowed_only_with_the_format_raw() {
        let raw = |key: &str| RequestedFormat::new(Format::Raw, Some(key.into())).ok();
        assert_eq!(parse("format=raw&key=A", None), raw("A"));
        assert_eq!(parse("key=A&format=raw", Some("application/json")), raw("A"));
        assert_eq!(parse("key=A", Some("application/octet-stream")), raw("A"));
        assert_eq!(parse("format=raw&key=%2Edocker%20config+%C3%A9", None), raw(".docker config é"));
        assert_eq!(parse("format=raw&key=A=B", None), raw("A=B"));
        for query in ["key=A", "format=json&key=A", "format=tar&key=A", "format=npmrc&key=A"] {
            assert_eq!(parse(query, None), None, "{query} was accepted");
        }
    }

    #[test]
    fn unknown_and_malformed_parameters_are_refused() {
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
            assert_eq!(parse(query, None), None, "{query} was accepted");
        }
    }

    #[test]
    fn the_contract_names_every_format() {
        let words = Format::ALL.iter().map(|format| format.as_str()).collect::<Vec<_>>().join("|");
        let document = crate::http::openapi::text().expect("a document");
        assert!(document.contains(&format!("^({words})$")), "{words}");
    }
}
