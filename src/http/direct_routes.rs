//! The routes of the two verbs of each build, whose handlers are called without axum's router: it would box and clone the service
//! of each request several times. Requests with other methods go to the router, which refuses them.

use super::state::HttpState;
use super::{downloads, ticket_requests, tickets};
use axum::extract::Request;
use axum::handler::Handler;
use axum::response::Response;
use futures_util::future::BoxFuture;
use http::Method;

/// A route whose handler is called directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectRoute {
    /// `POST /v1/tickets`.
    Issue,
    /// `GET` or `POST /v1/downloads/{ticket}`.
    Redeem,
}

impl DirectRoute {
    /// The route of a request. `None` if it is for the router.
    pub fn of(method: &Method, path: &str) -> Option<Self> {
        let (is_get, is_post) = (method == Method::GET, method == Method::POST);
        match path.strip_prefix("/v1/")? {
            "tickets" if is_post => Some(Self::Issue),
            path if is_get || is_post => {
                let ticket = path.strip_prefix("downloads/")?;
                (!ticket.is_empty() && !ticket.contains('/')).then_some(Self::Redeem)
            }
            _ => None,
        }
    }

    /// The template of the path.
    pub const fn template(self) -> &'static str {
        match self {
            Self::Issue => ticket_requests::TEMPLATE,
            Self::Redeem => "/v1/downloads/{ticket}",
        }
    }

    /// Runs the handler.
    pub fn handle(self, state: HttpState, request: Request) -> BoxFuture<'static, Response> {
        match self {
            Self::Issue => tickets::issue.call(request, state),
            Self::Redeem => downloads::redeem.call(request, state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes;
    use axum::Router;
    use axum::body::Body;
    use axum::extract::MatchedPath;
    use axum::routing::{MethodFilter, MethodRouter, on};
    use std::collections::BTreeMap;
    use tower::ServiceExt as _;

    /// A router with all documented routes, which answers with the template of the path.
    fn router() -> Router {
        let (_, document) = routes::documented().split_for_parts();
        let mut router = Router::new().fallback(async || "");
        for (path, item) in &document.paths.paths {
            let template = async |matched: MatchedPath| matched.as_str().to_owned();
            let methods = routes::methods(item).map(|method| method.parse::<Method>().expect("a method"));
            let methods = methods.map(|method| MethodFilter::try_from(method).expect("a method of axum"));
            router =
                router.route(path, methods.fold(MethodRouter::new(), |all, method| all.merge(on(method, template))));
        }
        router
    }

    #[tokio::test]
    async fn the_router_has_the_same_routes() {
        let router = router();
        let mut seen = BTreeMap::new();
        for path in [
            "/v1/tickets",
            "/v1/tickets/",
            "/v1/tickets/a",
            "/v1/tickets//",
            "/v1/Tickets",
            "/v1/%74ickets",
            "//v1/tickets",
            "/v1/downloads",
            "/v1/downloads/",
            "/v1/downloads/a",
            "/v1/downloads/a/",
            "/v1/downloads/a/b",
            "/v1/downloads//a",
            "/v1/downloads/%2F",
            "/v1/downloads/%FF",
            "/v1/downloads/..",
            "/v1/downloads/{ticket}",
            "/v1/secrets",
            "/v1/",
            "/",
        ] {
            for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get"] {
                let method: Method = method.parse().expect("a method");
                let request = http::Request::builder().method(method.clone()).uri(path).body(Body::empty());
                let Ok(response) = router.clone().oneshot(request.expect("a request")).await;
                let is_allowed = response.status() == 200 && method != Method::HEAD;
                let matched = axum::body::to_bytes(response.into_body(), 100).await.expect("a template");
                let direct = [DirectRoute::Issue, DirectRoute::Redeem]
                    .into_iter()
                    .find(|route| is_allowed && route.template().as_bytes() == matched)
                    .filter(|route| *route == DirectRoute::Redeem || method == Method::POST);
                assert_eq!(DirectRoute::of(&method, path), direct, "{method} {path}");
                *seen.entry(format!("{direct:?}")).or_insert(0) += 1;
            }
        }
        assert_eq!((seen["Some(Issue)"], seen["Some(Redeem)"]), (1, 10));
    }
}
