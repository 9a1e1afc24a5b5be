//! The Vault-compatible API: translates requests of Vault's clients into verbs of the broker, and the answers into
//! Vault's form.
//!
//! It only translates: policies, caches, limits and audit are those of the native API. Paths are parsed from the
//! raw request target (`target`), errors are translated by one table (`refusal`).

mod answer;
pub mod api;
mod bundle_name;
mod call;
mod headers;
mod login;
pub mod openapi;
mod read;
mod refusal;
mod system;
mod target;
mod token;

use super::answer::not_found;
use super::edge::Edge;
use crate::broker::Context;
use crate::metrics::Metrics;
use api::VaultApi;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, MatchedPath, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use call::Call;
use http::Method;
use refusal::Refusal;
use target::Target;

pub use refusal::into_vault_error;

/// All paths below `/v1/` that are not part of the native API. The wildcard does not match `/v1/` itself.
const ROUTES: [&str; 2] = ["/v1/{*path}", "/v1/"];

/// The router of this API, merged with the native one; without routes if the API is disabled.
pub fn router(metrics: &Metrics, api: Option<&VaultApi>) -> Router<Edge> {
    if api.is_none() {
        return Router::new();
    }
    for (route, method) in target::SERVED {
        metrics.init_route(route, method);
    }
    ROUTES.into_iter().fold(Router::new(), |router, route| router.route(route, any(handle)))
}

/// The template of a request's path; `None` if the request is not to this API.
pub fn route(api: Option<&VaultApi>, matched: Option<&MatchedPath>, path: &str) -> Option<&'static str> {
    let api = api.filter(|_| matched.is_some_and(is_fallback))?;
    Target::of(path, &api.mount).map(Target::template)
}

/// Whether the route is this API's fallback route, which has no template of its own.
pub fn is_fallback(matched: &MatchedPath) -> bool {
    ROUTES.contains(&matched.as_str())
}

async fn handle(State(edge): State<Edge>, Extension(context): Extension<Context>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = edge.vault.as_deref().and_then(|api| Some((api, Target::of(parts.uri.path(), &api.mount)?)));
    let Some((api, target)) = target else { return not_found().await.into_response() };
    let call = Call { edge: &edge, api, context, parts: &parts };
    answer(call, target, body).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(call: Call<'_>, target: Target<'_>, body: Body) -> Result<Response, Refusal> {
    headers::check(&call.parts.headers)?;
    match target {
        Target::Login { mount } => {
            call.only(&[Method::POST, Method::PUT], "POST, PUT")?;
            login::answer(call, mount, body).await
        }
        Target::Data { names } => read::answer(call, names).await,
        Target::Mount => {
            call.only(&[Method::GET], "GET")?;
            system::mount(call).await
        }
        Target::LookupSelf => {
            call.only(&[Method::GET], "GET")?;
            token::look_up(call).await
        }
        Target::RevokeSelf => {
            call.only(&[Method::POST, Method::PUT], "POST, PUT")?;
            token::revoke(call).await
        }
        Target::RenewSelf => {
            call.only(&[Method::POST, Method::PUT], "POST, PUT")?;
            token::renew(call).await
        }
        Target::Health => {
            call.only(&[Method::GET, Method::HEAD], "GET, HEAD")?;
            system::health(&call)
        }
        Target::SealStatus => {
            call.only(&[Method::GET], "GET")?;
            system::seal_status()
        }
        Target::OtherOfMount => Err(refusal::denied(refusal::READ_ONLY)),
        Target::Unversioned => Err(refusal::denied(refusal::VERSION_2)),
        Target::Other => Err(refusal::denied(refusal::NOT_SERVED)),
    }
}
