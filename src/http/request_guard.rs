//! Refuses requests before they reach a handler: HTTP versions other than 1.1, and requests that a proxy and this server might
//! parse differently (request smuggling).

use super::responses::{ApiError, set_connection_close};
use crate::wire::problem::Code;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Method, Version};

/// The response to a request that is refused, `4xx` or `505`; the connection is closed after it. `None` if the request is
/// accepted.
pub fn refusal(request: &Request) -> Option<Response> {
    let mut response = find_error(request)?.into_response();
    set_connection_close(response.headers_mut());
    Some(response)
}

fn find_error<B>(request: &http::Request<B>) -> Option<ApiError> {
    let count = |name| request.headers().get_all(name).iter().count();
    let invalid = |detail| Some(ApiError::new(Code::InvalidRequest, Some(detail)));
    if request.version() != Version::HTTP_11 {
        return Some(Code::HttpVersionNotSupported.into());
    }
    if count(TRANSFER_ENCODING) > 0 {
        return Some(Code::LengthRequired.into());
    }
    if count(HOST) != 1 {
        return invalid("there must be exactly one Host");
    }
    if count(CONTENT_LENGTH) > 1 {
        return invalid("there must be at most one Content-Length");
    }
    let in_origin_form = request.uri().authority().is_none() && request.uri().path().starts_with('/');
    if !in_origin_form || request.method() == Method::CONNECT {
        return invalid("the request target must be a path");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_status(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Option<u16> {
        let request = build(http::Request::builder().uri("/v1/tickets")).body(()).expect("a request");
        find_error(&request).map(|error| error.code.status())
    }

    #[test]
    fn ambiguous_requests_are_refused() {
        assert_eq!(refused_status(|r| r.header("host", "a").header("content-length", "1")), None);
        assert_eq!(refused_status(|r| r), Some(400), "no Host");
        assert_eq!(refused_status(|r| r.header("host", "a").header("host", "b")), Some(400));
        assert_eq!(refused_status(|r| r.header("host", "a").version(Version::HTTP_10)), Some(505));
        assert_eq!(refused_status(|r| r.header("host", "a").version(Version::HTTP_2)), Some(505));
        for coding in ["chunked", "identity", "gzip, chunked", "xchunked"] {
            assert_eq!(refused_status(|r| r.header("host", "a").header("transfer-encoding", coding)), Some(411));
        }
        assert_eq!(
            refused_status(|r| r.header("host", "a").header("content-length", "1").header("content-length", "1")),
            Some(400)
        );
        assert_eq!(refused_status(|r| r.header("host", "a").uri("http://a/v1/tickets")), Some(400), "absolute form");
        assert_eq!(refused_status(|r| r.header("host", "a").method("CONNECT").uri("a:1")), Some(400));
        assert_eq!(refused_status(|r| r.header("host", "a").method("OPTIONS").uri("*")), Some(400));
    }
}
