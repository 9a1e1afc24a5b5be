//! `auth/token/lookup-self`, `renew-self` and `revoke-self`, for the caller's own token. Claviger can neither renew nor revoke it.

use super::headers;
use super::refusal::{Refusal, invalid};
use super::responses::{forbid_caching, json};
use super::vault_request::VaultRequest;
use crate::wire::problem::Code;
use crate::wire::shell_safe_json;
use crate::wire::vault::{VaultAnswer, VaultLookup, VaultToken};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jiff::Timestamp;

/// Returns what is known of the caller's token.
#[utoipa::path(
    get,
    path = "/v1/auth/token/lookup-self",
    operation_id = "vaultLookupSelf",
    tag = "vault",
    responses((status = 200, description = "The token", body = inline(VaultLookup)))
)]
pub(super) async fn look_up(request: VaultRequest<'_>) -> Result<Response, Refusal> {
    let bearer = headers::token(&request.parts.headers);
    let session = request.authenticate(bearer.as_ref()).await?;
    let bearer = bearer.ok_or(Code::Unauthenticated)?;
    let (caller, lifetime) = (&session.caller, session.lifetime);
    let time = |seconds| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string();
    #[expect(clippy::disallowed_methods, reason = "the token goes back to its bearer")]
    let token = VaultToken {
        accessor: "",
        creation_time: lifetime.issued_at,
        creation_ttl: lifetime.expires_at.saturating_sub(lifetime.issued_at).max(0),
        display_name: format!("{}-{}", caller.issuer, caller.subject),
        entity_id: "",
        expire_time: time(lifetime.expires_at),
        explicit_max_ttl: 0,
        id: bearer.expose_secret(),
        issue_time: time(lifetime.issued_at),
        meta: (),
        num_uses: 0,
        orphan: true,
        path: format!("auth/{}/login", caller.issuer),
        policies: ["default"],
        renewable: false,
        ttl: lifetime.remaining_seconds,
        kind: "batch",
    };
    let body = VaultAnswer::with_data(request.request_id(), token);
    Ok(json(shell_safe_json::to_string(&body).map_err(|_| Code::Internal)?))
}

/// Does nothing: Claviger cannot revoke the token, which keeps its own expiry.
#[utoipa::path(
    method(post, put),
    path = "/v1/auth/token/revoke-self",
    operation_id = "vaultRevokeSelf",
    tag = "vault",
    responses((status = 204, description = "Nothing was done"))
)]
pub(super) async fn revoke(request: VaultRequest<'_>) -> Result<Response, Refusal> {
    request.authenticate(headers::token(&request.parts.headers).as_ref()).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    forbid_caching(response.headers_mut());
    Ok(response)
}

/// Always refused: the token keeps its own expiry.
#[utoipa::path(
    method(post, put),
    path = "/v1/auth/token/renew-self",
    operation_id = "vaultRenewSelf",
    tag = "vault",
    responses((status = 400, description = "The token cannot be renewed"))
)]
pub(super) async fn renew(request: VaultRequest<'_>) -> Result<Response, Refusal> {
    request.authenticate(headers::token(&request.parts.headers).as_ref()).await?;
    Err(invalid("batch tokens cannot be renewed"))
}
