//! `POST /v1/tickets`: a caller asks for a ticket.

use super::answer::{Failure, method_not_allowed};
use super::{Edge, bearer, framing, ticket_body, waiting_tickets};
use crate::broker::{Context, DeliveryMode, IssueRequest, Issued};
use crate::metrics::labels::Outcome;
use crate::wire::inert_json;
use crate::wire::problem::Code;
use crate::wire::ticket::{TicketIssued, TicketRequest};
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// The handler; `GET` and `DELETE` are for administrators.
pub async fn handle(State(edge): State<Edge>, Extension(context): Extension<Context>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match parts.method {
        Method::POST => {}
        Method::GET => return waiting_tickets::list(&edge, context, &parts).await.into_response(),
        Method::DELETE => return waiting_tickets::revoke_all(&edge, context, &parts).await.into_response(),
        other => return method_not_allowed(&other, "GET, POST, DELETE"),
    }
    let answer = match issue(&edge, context, &parts.headers, body).await {
        Ok(issued) => created(&issued, wants_text(&parts.headers)),
        Err(failure) => Err(failure),
    };
    let (outcome, code) = match &answer {
        Ok(_) => (Outcome::Ok, "ok"),
        Err(failure) => (outcome_of(failure.code), failure.code.as_str()),
    };
    edge.broker.metrics().ticket_request(outcome, code);
    answer.into_response()
}

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
pub(super) async fn issue(edge: &Edge, context: Context, headers: &HeaderMap, body: Body) -> Result<Issued, Failure> {
    let bearer = bearer::of(headers);
    let caller = edge.broker.authenticate(bearer.as_ref(), &context).await?;
    let request = match ticket_body::read(edge, headers, body).await {
        Ok(request) => request,
        Err(error) => return Err(edge.broker.unreadable(caller, &context, DeliveryMode::Ticket, error).await.into()),
    };
    let sizes = prefers_sizes(headers);
    Ok(edge.broker.issue(IssueRequest { caller, request, context, sizes }).await?)
}

fn created(issued: &Issued, as_text: bool) -> Result<Response, Failure> {
    let (media_type, body) = if as_text {
        ("text/plain; charset=utf-8", format!("{}\n", issued.url.as_str()))
    } else {
        let ticket = &issued.ticket;
        let body = inert_json::to_string(&TicketIssued {
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
    let mut headers = framing::with_length(body.len());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(LOCATION, location);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::CREATED;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Whether the client wants to know how long the values are before it redeems (RFC 7240).
fn prefers_sizes(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|preference| preference.trim().eq_ignore_ascii_case("sizes"))
}

/// The URL alone, for a shell without jq.
fn wants_text(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.split([',', ';']).next().is_some_and(|first| first.trim().eq_ignore_ascii_case("text/plain"))
}

fn outcome_of(code: Code) -> Outcome {
    match code.status() {
        401 | 403 => Outcome::Denied,
        _ => Outcome::Failed,
    }
}
