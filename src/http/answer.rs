//! The only place that maps an error to HTTP.

use crate::broker;
use crate::wire::inert_json;
use crate::wire::problem::{Code, Problem};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

/// An error answer.
#[derive(Debug)]
pub struct Failure {
    pub code: Code,
    problem: Box<Problem>,
    drops: bool,
}

/// Extension of an answer that must not be sent; the connection is closed instead.
#[derive(Debug, Clone, Copy)]
pub struct Dropped;

impl Failure {
    /// A failure with a detail beside the title of its code.
    pub fn new(code: Code, detail: Option<&str>) -> Self {
        Self { code, problem: Box::new(code.problem(detail.map(str::to_owned))), drops: false }
    }
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self::new(code, None)
    }
}

impl From<broker::Error> for Failure {
    fn from(error: broker::Error) -> Self {
        let errors = error.errors();
        let mut failure = Self::new(error.code(), error.detail().as_deref());
        if let broker::Error::TicketRedeemed { at } = error {
            failure.problem.redeemed_at = Some(format!("{at:.3}"));
        }
        failure.problem.errors = errors;
        failure.drops = matches!(error, broker::Error::Dropped);
        failure
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = inert_json::to_string(&self.problem).unwrap_or_default() + "\n";
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // For metrics and spans.
        response.extensions_mut().insert(self.code);
        if self.drops {
            response.extensions_mut().insert(Dropped);
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.code.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        match self.code {
            Code::Unauthenticated => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // The body is unread, so the connection cannot be used for another request.
            Code::Draining
            | Code::LengthRequired
            | Code::PayloadTooLarge
            | Code::RequestTimeout
            | Code::HttpVersionNotSupported => close(headers),
            _ => {}
        }
        response
    }
}

/// An answer to an administrator, which no shared cache may store.
pub fn json<T: serde::Serialize>(status: StatusCode, body: &T) -> Result<Response, Failure> {
    let body = serde_json::to_vec(body).map_err(|_| Code::Internal)?;
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "private, no-cache")];
    Ok((status, headers, body).into_response())
}

/// Closes the connection after this answer.
pub fn close(headers: &mut http::HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

/// `405`, or `204` to `OPTIONS`, with the allowed methods.
pub fn method_not_allowed(method: &http::Method, allowed: HeaderValue) -> Response {
    let mut response = if method == http::Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        Failure::from(Code::MethodNotAllowed).into_response()
    };
    response.headers_mut().insert(ALLOW, allowed);
    response
}

/// The answer on unknown paths.
pub async fn not_found() -> Failure {
    Code::NotFound.into()
}
