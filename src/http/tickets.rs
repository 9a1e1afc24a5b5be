//! `POST /v1/tickets`: issues a ticket.

use super::accept_header::PlainText;
use super::bundle_request::BundleRequest;
use super::framing;
use super::responses::ApiError;
use super::ticket_requests;
use crate::broker::{Broker, IssueRequest, IssuedTicket};
use crate::wire::problem::Code;
use crate::wire::shell_safe_json;
use crate::wire::ticket::{TicketIssued, TicketRequest};
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};
use std::sync::Arc;

/// Issues a ticket: a sealed bundle, and the URL that downloads it once.
#[utoipa::path(
    post,
    path = "/v1/tickets",
    operation_id = "issueTicket",
    tag = "builds",
    params(("Prefer" = Option<String>, Header, description = "`sizes`: the response has the length of each value")),
    request_body(content((TicketRequest = "application/json"), (TicketRequest = "application/x-www-form-urlencoded"))),
    responses((
        status = 201,
        description = "The ticket; with `Accept: text/plain` only its URL and a newline",
        content((TicketIssued = "application/json"), (String = "text/plain"))
    ))
)]
pub(super) async fn issue(
    State(broker): State<Arc<Broker>>,
    PlainText(as_text): PlainText,
    PreferSizes(sizes): PreferSizes,
    bundle_request: Result<BundleRequest<TicketRequest>, ApiError>,
) -> Result<Response, ApiError> {
    let response = match bundle_request {
        Ok(BundleRequest { caller, context, request, .. }) => {
            let issued = broker.issue(IssueRequest { caller, body: request, context, sizes }).await;
            issued.map_err(ApiError::from).and_then(|issued| created_response(&issued, as_text))
        }
        Err(error) => Err(error),
    };
    ticket_requests::count(&broker, response.as_ref().err().map(|error| error.code));
    response
}

fn created_response(issued: &IssuedTicket, as_text: bool) -> Result<Response, ApiError> {
    let (media_type, body) = if as_text {
        ("text/plain; charset=utf-8", format!("{}\n", issued.url.as_str()))
    } else {
        let ticket = &issued.ticket;
        let body = shell_safe_json::to_string(&TicketIssued {
            ticket_id: ticket.id.to_string(),
            url: &issued.url,
            expires_at: format!("{:.3}", ticket.expires_at),
            keys: ticket.keys.iter().map(String::as_str).collect(),
            policies: ticket.policies.iter().map(|policy| &*policy.name).collect(),
            missing: issued.missing,
            sizes: issued
                .sizes
                .as_ref()
                .map(|sizes| ticket.keys.iter().map(String::as_str).zip(sizes.iter().copied()).collect()),
        })
        .map_err(|_| Code::Internal)?;
        ("application/json", body)
    };
    let location = HeaderValue::from_str(&issued.url).map_err(|_| Code::Internal)?;
    let mut headers = framing::headers_with_length(body.len());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(LOCATION, location);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::CREATED;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Whether the client asks for the lengths of the values by `Prefer: sizes` (RFC 7240).
pub(super) struct PreferSizes(bool);

extract!(PreferSizes, |parts| {
    let values = parts.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(','));
    Ok(Self(preferences.any(|preference| preference.trim().eq_ignore_ascii_case("sizes"))))
});
