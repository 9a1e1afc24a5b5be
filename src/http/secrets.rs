//! `POST /v1/secrets`: a ticket and its download in one round trip, for clients that keep the token themselves.

use super::answer::{Failure, method_not_allowed};
use super::{Edge, bearer, bundle, ticket_body};
use crate::broker::{Context, DeliveryMode, IssueRequest};
use crate::wire::ticket::SecretsRequest;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method};

/// The handler.
pub async fn handle(State(edge): State<Edge>, Extension(context): Extension<Context>, request: Request) -> Response {
    if request.method() != Method::POST {
        return method_not_allowed(request.method(), "POST");
    }
    let (parts, body) = request.into_parts();
    deliver(&edge, context, &parts.headers, body).await.into_response()
}

/// Returns the bundle in one request, if the policies' `delivery` lists `direct`.
#[utoipa::path(
    post,
    path = "/v1/secrets",
    operation_id = "readSecrets",
    tag = "builds",
    request_body(content((SecretsRequest = "application/json"), (SecretsRequest = "application/x-www-form-urlencoded"))),
    responses((
        status = 200,
        description = "The bundle",
        content(
            (String = "text/plain"),
            (Object = "application/json"),
            (String = "application/octet-stream"),
            (String = "application/x-tar")
        )
    ))
)]
pub(super) async fn deliver(
    edge: &Edge,
    context: Context,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let bearer = bearer::of(headers);
    let caller = edge.broker.authenticate(bearer.as_ref(), &context).await?;
    let (request, format) = match ticket_body::read_with_format(edge, headers, body).await {
        Ok(request) => request.into_parts(),
        Err(error) => return Err(edge.broker.unreadable(caller, &context, DeliveryMode::Direct, error).await.into()),
    };
    // The body wins over `Accept`.
    let format = match format.as_deref().map(bundle::format) {
        None => bundle::accepted(headers),
        Some(Ok(format)) => format,
        Some(Err(unknown)) => {
            return Err(edge.broker.unreadable(caller, &context, DeliveryMode::Direct, unknown).await.into());
        }
    };
    let delivered =
        edge.broker.deliver(&IssueRequest { caller, request, context, sizes: false }, &format.into()).await?;
    Ok(bundle::answer(delivered)?)
}
