//! Responses that several handlers build. The only place that maps an error to HTTP.

use crate::broker;
use crate::wire::problem::{Code, Problem};
use crate::wire::shell_safe_json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

/// An error response.
#[derive(Debug)]
pub struct ApiError {
    pub code: Code,
    problem: Box<Problem>,
    closes_connection: bool,
}

/// Extension of a response that must not be sent: the connection is closed instead.
#[derive(Debug, Clone, Copy)]
pub struct CloseWithoutResponse;

impl ApiError {
    /// With a detail, which is sent beside the title of the code.
    pub fn new(code: Code, detail: Option<&str>) -> Self {
        Self { code, problem: Box::new(code.problem(detail.map(str::to_owned))), closes_connection: false }
    }
}

impl From<Code> for ApiError {
    fn from(code: Code) -> Self {
        Self::new(code, None)
    }
}

impl From<broker::Error> for ApiError {
    fn from(error: broker::Error) -> Self {
        let errors = error.errors();
        let mut api_error = Self::new(error.code(), error.detail().as_deref());
        if let broker::Error::TicketRedeemed { at } = error {
            api_error.problem.redeemed_at = Some(format!("{at:.3}"));
        }
        api_error.problem.errors = errors;
        api_error.closes_connection = matches!(error, broker::Error::OutcomeUnknown);
        api_error
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = shell_safe_json::to_string(&self.problem).unwrap_or_default() + "\n";
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // The code is read by metrics and spans.
        response.extensions_mut().insert(self.code);
        if self.closes_connection {
            response.extensions_mut().insert(CloseWithoutResponse);
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
            // The body of the request may be unread, so the connection cannot be used for another request. While draining, a new
            // connection reaches another replica.
            Code::Draining
            | Code::LengthRequired
            | Code::PayloadTooLarge
            | Code::RequestTimeout
            | Code::HttpVersionNotSupported => set_connection_close(headers),
            _ => {}
        }
        response
    }
}

/// A JSON response to an administrator. Shared caches must not store it.
pub fn json<T: serde::Serialize>(status: StatusCode, body: &T) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(body).map_err(|_| Code::Internal)?;
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "private, no-cache")];
    Ok((status, headers, body).into_response())
}

/// Sets `Connection: close`, on which hyper closes the connection after the response.
pub fn set_connection_close(headers: &mut http::HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

/// `405` (`204` for `OPTIONS`) with the allowed methods in `Allow`.
pub fn method_not_allowed(method: &http::Method, allowed: HeaderValue) -> Response {
    let mut response = if method == http::Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        ApiError::from(Code::MethodNotAllowed).into_response()
    };
    response.headers_mut().insert(ALLOW, allowed);
    response
}

/// The response for unknown paths.
pub async fn not_found() -> ApiError {
    Code::NotFound.into()
}
