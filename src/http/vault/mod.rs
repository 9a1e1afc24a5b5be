//! The Vault-compatible API: translates requests of Vault's clients into verbs of the broker, and the results into Vault's
//! responses.
//!
//! Policies, caches, limits and audit are those of the native API. `target` parses the raw path, `refusal` translates errors.

pub mod api;
mod bundle_name;
mod headers;
mod login;
pub mod openapi;
mod read;
mod refusal;
mod responses;
mod system;
mod target;
mod token;
mod vault_request;

use super::responses::not_found;
use super::state::HttpState;
use crate::broker::Context;
use crate::metrics::Metrics;
use api::VaultApi;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, MatchedPath, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use refusal::Refusal;
use target::Target;
use vault_request::VaultRequest;

pub use refusal::into_vault_error;

/// Matches all paths below `/v1/` that are not routes of the native API. The wildcard does not match `/v1/` itself.
const FALLBACK_ROUTES: [&str; 2] = ["/v1/{*path}", "/v1/"];

/// The router of this API, to be merged with the native one. Without routes if the API is disabled.
pub fn router(metrics: &Metrics, api: Option<&VaultApi>) -> Router<HttpState> {
    if api.is_none() {
        return Router::new();
    }
    for (route, method) in target::SERVED {
        metrics.init_route(route, method);
    }
    FALLBACK_ROUTES.into_iter().fold(Router::new(), |router, route| router.route(route, any(handle)))
}

/// The template of a request's path. `None` if the request is not for this API.
pub fn route(api: Option<&VaultApi>, matched: Option<&MatchedPath>, path: &str) -> Option<&'static str> {
    let api = api.filter(|_| matched.is_some_and(is_fallback))?;
    Target::parse(path, &api.mount).map(Target::template)
}

/// Whether the matched route is a fallback route, which is no template of a path.
pub fn is_fallback(matched: &MatchedPath) -> bool {
    FALLBACK_ROUTES.contains(&matched.as_str())
}

async fn handle(State(state): State<HttpState>, Extension(context): Extension<Context>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = state.vault.as_deref().and_then(|api| Some((api, Target::parse(parts.uri.path(), &api.mount)?)));
    let Some((api, target)) = target else { return not_found().await.into_response() };
    let request = VaultRequest { state: &state, api, context, parts: &parts };
    dispatch(request, target, body).await.unwrap_or_else(IntoResponse::into_response)
}

async fn dispatch(request: VaultRequest<'_>, target: Target<'_>, body: Body) -> Result<Response, Refusal> {
    headers::refuse_unsupported(&request.parts.headers)?;
    request.require_method(target.allowed_methods())?;
    match target {
        Target::Login { mount } => login::log_in(request, mount, body).await,
        Target::Data { raw_path } => read::read_bundle(request, raw_path).await,
        Target::Mount => system::mount(request).await,
        Target::LookupSelf => token::look_up(request).await,
        Target::RevokeSelf => token::revoke(request).await,
        Target::RenewSelf => token::renew(request).await,
        Target::Health => system::health(&request),
        Target::SealStatus => system::seal_status(),
        Target::OtherKvPath => Err(refusal::denied(refusal::READ_ONLY_DETAIL)),
        Target::KvVersion1 => Err(refusal::denied(refusal::KV_VERSION_2_DETAIL)),
        Target::Other => Err(refusal::denied(refusal::NOT_SERVED_DETAIL)),
    }
}
