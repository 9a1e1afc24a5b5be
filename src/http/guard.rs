//! Refuses requests before any handler: other HTTP versions, and requests that two servers might read differently.

use super::answer::{Failure, close};
use crate::wire::problem::Code;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Method, Version};

/// The refusal of a request, `4xx` or `505`, after which the connection is closed.
pub fn refusal(request: &Request) -> Option<Response> {
    let mut response = fault(request)?.into_response();
    close(response.headers_mut());
    Some(response)
}

fn fault<B>(request: &http::Request<B>) -> Option<Failure> {
    let count = |name| request.headers().get_all(name).iter().count();
    let invalid = |detail| Some(Failure::new(Code::InvalidRequest, Some(detail)));
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

    fn verdict(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Option<u16> {
        let request = build(http::Request::builder().uri("/v1/tickets")).body(()).expect("a request");
        fault(&request).map(|failure| failure.code.status())
    }

    #[test]
    fn a_plain_request_passes_and_each_ambiguous_one_is_refused() {
        assert_eq!(verdict(|r| r.header("host", "a").header("content-length", "1")), None);
        assert_eq!(verdict(|r| r), Some(400), "no Host");
        assert_eq!(verdict(|r| r.header("host", "a").header("host", "b")), Some(400));
        assert_eq!(verdict(|r| r.header("host", "a").version(Version::HTTP_10)), Some(505));
        assert_eq!(verdict(|r| r.header("host", "a").version(Version::HTTP_2)), Some(505));
        for coding in ["chunked", "identity", "gzip, chunked", "xchunked"] {
            assert_eq!(verdict(|r| r.header("host", "a").header("transfer-encoding", coding)), Some(411));
        }
        assert_eq!(
            verdict(|r| r.header("host", "a").header("content-length", "1").header("content-length", "1")),
            Some(400)
        );
        assert_eq!(verdict(|r| r.header("host", "a").uri("http://a/v1/tickets")), Some(400), "absolute form");
        assert_eq!(verdict(|r| r.header("host", "a").method("CONNECT").uri("a:1")), Some(400));
        assert_eq!(verdict(|r| r.header("host", "a").method("OPTIONS").uri("*")), Some(400));
    }
}
