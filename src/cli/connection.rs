//! Calls the admin API: one request and one response, or a stream of lines. The token is sent in one header, and never printed.

use super::command_error::CommandError;
use super::http_client::{self, RESPONSE_TIMEOUT};
use super::retry_budget::RetryBudget;
use super::runtime::block_on;
use super::server_arguments::ServerArguments;
use super::workflow::RunnerStream;
use bytes::BytesMut;
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Maximum size of a response, enough for a page of a hundred policies of 160 KiB each.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// Maximum length of a line. A longer one is an error; every audit event is shorter.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;
const JSON_LINES: &str = "application/x-ndjson";
/// Time limit for a stream of lines, or for a response that the server computes slowly.
const STREAM_TIMEOUT: Duration = Duration::from_hours(24);
/// Time limit for the next part of a stream of lines.
const LINE_TIMEOUT: Duration = Duration::from_mins(1);

/// A server, and the caller's token.
pub struct Connection {
    base: String,
    bearer: HeaderValue,
    http: Client,
}

/// A successful response.
pub struct ApiResponse {
    pub status: u16,
    request_id: Option<String>,
    body: Vec<u8>,
}

impl ApiResponse {
    /// Decodes the body.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, CommandError> {
        serde_json::from_slice(&self.body).map_err(|_| CommandError::Refused {
            status: self.status,
            problem: None,
            request_id: self.request_id.clone(),
        })
    }
}

impl Connection {
    /// Reads or requests the token, and reads the certificates. Sends nothing to the server.
    pub async fn open(arguments: &ServerArguments) -> Result<Self, CommandError> {
        let url = arguments.origin()?;
        let bearer = arguments.bearer(RunnerStream::Stderr, &mut RetryBudget::new(RESPONSE_TIMEOUT)).await?;
        let http = arguments.client(url.scheme())?;
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), bearer, http })
    }

    /// Sends a `GET`.
    pub async fn get(&self, path: &str) -> Result<ApiResponse, CommandError> {
        self.call(self.request(&Method::GET, path)).await
    }

    /// Sends a `GET` whose response takes the server long to compute.
    pub async fn get_slow(&self, path: &str) -> Result<ApiResponse, CommandError> {
        self.call(self.request(&Method::GET, path).timeout(STREAM_TIMEOUT)).await
    }

    /// Sends a `GET`, and calls `visit` for each line as it arrives. Fails if the last line is incomplete.
    pub async fn read_lines(
        &self,
        path: &str,
        mut visit: impl FnMut(&str) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let mut request = self
            .request(&Method::GET, path)
            .timeout(STREAM_TIMEOUT)
            .build()
            .map_err(|error| http_client::connection_error(&error))?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(JSON_LINES));
        let mut response = self.http.execute(request).await.map_err(|error| http_client::connection_error(&error))?;
        if !response.status().is_success() {
            return Err(read_refusal(&mut response).await?);
        }
        let mut buffer = BytesMut::new();
        let timed_out = |_| CommandError::Unreachable("no answer in time");
        while let Some(chunk) = timeout(LINE_TIMEOUT, response.chunk())
            .await
            .map_err(timed_out)?
            .map_err(|error| http_client::connection_error(&error))?
        {
            buffer.extend_from_slice(&chunk);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(end + 1);
                visit(std::str::from_utf8(&line[..end]).map_err(|_| invalid_stream())?)?;
            }
            if buffer.len() > MAX_LINE_BYTES {
                return Err(invalid_stream());
            }
        }
        if buffer.is_empty() { Ok(()) } else { Err(invalid_stream()) }
    }

    /// Sends a request with a JSON body, unless that is empty. `condition` is an `If-Match` or `If-None-Match` header.
    pub async fn send(
        &self,
        method: &Method,
        path: &str,
        condition: Option<(HeaderName, HeaderValue)>,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<ApiResponse, CommandError> {
        let mut request = self.request(method, path);
        if let Some((name, value)) = condition {
            request = request.header(name, value);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json").body(bytes::Bytes::from_owner(body));
        }
        self.call(request).await
    }

    fn request(&self, method: &Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method.clone(), format!("{}{path}", self.base));
        request.header(AUTHORIZATION, self.bearer.clone()).header(ACCEPT, "application/json")
    }

    async fn call(&self, request: RequestBuilder) -> Result<ApiResponse, CommandError> {
        let mut response = request.send().await.map_err(|error| http_client::connection_error(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(read_refusal(&mut response).await?);
        }
        let request_id = http_client::request_id(response.headers());
        let body = http_client::read_body(&mut response, MAX_BODY_BYTES).await?;
        Ok(ApiResponse { status: status.as_u16(), request_id, body: body.to_vec() })
    }
}

/// Reads an unsuccessful response as an error. `Err` if the body cannot be read.
async fn read_refusal(response: &mut Response) -> Result<CommandError, CommandError> {
    let (status, request_id) = (response.status().as_u16(), http_client::request_id(response.headers()));
    let body = http_client::read_body(response, MAX_BODY_BYTES).await?;
    Ok(CommandError::Refused { status, problem: serde_json::from_slice(&body).ok(), request_id })
}

fn invalid_stream() -> CommandError {
    CommandError::Other("the server's answer is not a stream of audit events".into())
}

/// Opens a connection with these options, and runs an operation with it.
pub fn with_connection(
    server: &ServerArguments,
    run: impl AsyncFnOnce(Connection) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    block_on(async { run(Connection::open(server).await?).await })
}
