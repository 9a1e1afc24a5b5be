//! One HTTP exchange with the API server: a request, and a response with a bounded body and a time limit.

use super::call_failure::CallFailure;
use super::client::Cluster;
use crate::traces;
use crate::trust::ConnectFailure;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Time limit from the start of a call to the complete response, including the wait for a free slot. A TokenReview and a later
/// read of the pod together take less than the default of `limits.requestTimeout` (15 s).
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The response of the API server.
pub struct ApiResponse {
    pub status: StatusCode,
    /// The server's time, with a resolution of one second.
    pub(super) date: Option<Timestamp>,
    pub(super) body: Vec<u8>,
}

impl ApiResponse {
    /// Decodes the body, which must be one JSON object. Fields that `T` lacks are ignored.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, CallFailure> {
        // `serde_json::from_slice` would not check the UTF-8 of skipped values. A derived `Deserialize` also accepts an array, such
        // as `["TokenReview", ...]`, and takes its elements as the fields in order.
        let text = std::str::from_utf8(&self.body).map_err(|_| CallFailure::Malformed)?;
        if !text.trim_ascii_start().starts_with('{') {
            return Err(CallFailure::Malformed);
        }
        serde_json::from_str(text).map_err(|_| CallFailure::Malformed)
    }

    /// Decodes the body of a 200. `None` for a 404.
    ///
    /// # Errors
    /// Another status, or `Malformed`.
    pub(super) fn decode_found<T: DeserializeOwned>(&self) -> Result<Option<T>, CallFailure> {
        match self.status {
            StatusCode::OK => self.decode().map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.status_failure()),
        }
    }

    /// The raw body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The failure that a status means for a call that does not define it.
    pub fn status_failure(&self) -> CallFailure {
        match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => CallFailure::Credentials,
            StatusCode::TOO_MANY_REQUESTS => CallFailure::Overloaded,
            status if status.is_server_error() => CallFailure::Overloaded,
            _ => CallFailure::Status,
        }
    }
}

pub(super) fn get(path: impl AsRef<str>) -> Result<Request<Vec<u8>>, CallFailure> {
    Request::get(path.as_ref()).body(Vec::new()).map_err(|_| CallFailure::Malformed)
}

impl Cluster {
    /// Waits for a slot of `other_calls`, and sends one request. Both together take at most [`CALL_TIMEOUT`].
    pub(super) async fn call(&self, request: Request<Vec<u8>>, max_bytes: usize) -> Result<ApiResponse, CallFailure> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let _slot = self.other_calls.enter(deadline).await?;
        self.exchange(request, max_bytes, deadline).await
    }

    /// Sends one request. The decoding of `kube` is not used, because it has no size limit and logs bodies that it cannot decode.
    pub(super) async fn exchange(
        &self,
        mut request: Request<Vec<u8>>,
        max_bytes: usize,
        deadline: Instant,
    ) -> Result<ApiResponse, CallFailure> {
        if let Some(value) = traces::traceparent().and_then(|value| HeaderValue::try_from(value).ok()) {
            request.headers_mut().insert("traceparent", value);
        }
        let connection = self.connection.load_full();
        if let Some(authorization) = &connection.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        let exchange = async {
            let response =
                connection.client.send(request.map(kube::client::Body::from)).await.map_err(|error| match error {
                    // The broker's token file or credential plugin failed; nothing was sent.
                    kube::Error::Auth(_) => CallFailure::Credentials,
                    error => {
                        ConnectFailure::from_error(&error).map_or(CallFailure::ConnectionLost, CallFailure::Unconnected)
                    }
                })?;
            let status = response.status();
            let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok());
            let date = date.and_then(|date| rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
            match Limited::new(response.into_body(), max_bytes).collect().await {
                Ok(body) => Ok(ApiResponse { status, date, body: body.to_bytes().into() }),
                Err(error) if error.is::<LengthLimitError>() => Err(CallFailure::TooLarge),
                Err(_) => Err(CallFailure::ConnectionLost),
            }
        };
        timeout_at(deadline, exchange).await.unwrap_or(Err(CallFailure::Timeout))
    }
}
