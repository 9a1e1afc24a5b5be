//! Makes `Content-Length` the first header of a response.
//!
//! If a connection closes within the headers of a response before `Content-Length`, curl exits with 0 and an empty file, which a
//! build takes for "no secrets". After `Content-Length`, curl exits with 18. Therefore only the status line precedes it. A response
//! of unknown length has `Transfer-Encoding` as its first header.

use axum::body::{Body, Bytes, HttpBody as _};
use axum::response::Response;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::body::{Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Adds `Content-Length` or `Transfer-Encoding` as the first header. hyper writes headers in the order in which they were added.
pub fn length_first(mut response: Response) -> Response {
    if response.status().is_informational()
        || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    {
        return response;
    }
    let (name, value) = match response.body().size_hint().exact() {
        Some(length) => (CONTENT_LENGTH, HeaderValue::from(length)),
        None => (TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
    };
    if value == "0" {
        // For a body with `is_end_stream`, hyper writes `Content-Length: 0` itself, after all other headers.
        *response.body_mut() = Body::new(EmptyBody);
    }
    let headers = response.headers_mut();
    if headers.keys().next() == Some(&name) {
        return response;
    }
    let rest = std::mem::take(headers);
    headers.reserve(rest.len() + 1);
    headers.insert(name, value);
    headers.extend(rest);
    response
}

/// A body without bytes whose `is_end_stream` is false.
struct EmptyBody;

impl hyper::body::Body for EmptyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}

/// New headers that begin with `Content-Length`.
pub fn headers_with_length(length: usize) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;

    fn names(response: &Response) -> Vec<&str> {
        response.headers().iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn the_length_is_the_first_header() {
        let response = length_first(([("x-a", "1"), ("x-b", "2")], "body").into_response());
        assert_eq!(names(&response), ["content-length", "content-type", "x-a", "x-b"]);
        assert_eq!(response.headers()[CONTENT_LENGTH], "4");
        let mut given = "body".into_response();
        given.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(4));
        given.headers_mut().append("set-cookie", HeaderValue::from_static("a"));
        given.headers_mut().append("set-cookie", HeaderValue::from_static("b"));
        assert_eq!(names(&length_first(given)), ["content-length", "content-type", "set-cookie", "set-cookie"]);
    }

    #[test]
    fn an_empty_response_has_a_length() {
        let response = length_first(([("x-a", "1")], "").into_response());
        assert_eq!(names(&response)[0], "content-length");
        assert_eq!(response.headers()[CONTENT_LENGTH], "0");
    }

    #[test]
    fn a_stream_is_chunked_from_the_first_header_on() {
        let lines = futures_util::stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"x")) });
        let response = length_first(([("x-a", "1")], Body::from_stream(lines)).into_response());
        assert_eq!(names(&response)[0], "transfer-encoding");
    }

    #[test]
    fn responses_without_a_body_get_no_length() {
        let response = length_first(StatusCode::NO_CONTENT.into_response());
        assert!(names(&response).is_empty());
    }
}
