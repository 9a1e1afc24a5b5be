//! Calls of the admin API: one request and one answer, or a stream of lines. The token is sent in one header, and never printed.

use super::failure::Failure;
use super::http_client::{self, ANSWER_WITHIN};
use super::retry_budget::RetryBudget;
use super::server::ServerArguments;
use super::workflow::Commands;
use bytes::BytesMut;
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Larger than a page of a hundred policies of maximum size.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// Longer than any audit event.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;
const JSON_LINES: &str = "application/x-ndjson";
/// Time limit for a stream of lines, or for an answer that takes long to compute.
const STREAM_TIMEOUT: Duration = Duration::from_hours(24);
/// Time limit for the next part of a stream of lines.
const LINE_TIMEOUT: Duration = Duration::from_mins(1);

/// A server, and the caller's token.
pub struct Connection {
    base: String,
    bearer: HeaderValue,
    http: Client,
}

/// A successful answer.
pub struct Answer {
    pub status: u16,
    request_id: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| Failure::Refused {
            status: self.status,
            problem: None,
            request_id: self.request_id.clone(),
        })
    }
}

impl Connection {
    /// Reads or requests the token, and reads the certificates. Sends nothing to the server.
    pub async fn open(arguments: &ServerArguments) -> Result<Self, Failure> {
        let url = arguments.origin()?;
        let bearer = arguments.bearer(Commands::Stderr, &mut RetryBudget::new(ANSWER_WITHIN)).await?;
        let http = arguments.client(url.scheme())?;
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), bearer, http })
    }

    /// Sends a `GET`.
    pub async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.call(self.request(&Method::GET, path)).await
    }

    /// Sends a `GET` whose answer takes long to compute.
    pub async fn get_with_retries(&self, path: &str) -> Result<Answer, Failure> {
        self.call(self.request(&Method::GET, path).timeout(STREAM_TIMEOUT)).await
    }

    /// Reads lines as they arrive.
    pub async fn lines(&self, path: &str, mut each: impl FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut request = self
            .request(&Method::GET, path)
            .timeout(STREAM_TIMEOUT)
            .build()
            .map_err(|e| http_client::unreachable(&e))?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(JSON_LINES));
        let mut response = self.http.execute(request).await.map_err(|error| http_client::unreachable(&error))?;
        if !response.status().is_success() {
            return Err(refused(&mut response).await?);
        }
        let mut rest = BytesMut::new();
        let stands_still = |_| Failure::Unreachable("no answer in time");
        while let Some(chunk) = timeout(LINE_TIMEOUT, response.chunk())
            .await
            .map_err(stands_still)?
            .map_err(|error| http_client::unreachable(&error))?
        {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.split_to(end + 1);
                each(std::str::from_utf8(&line[..end]).map_err(|_| not_claviger())?)?;
            }
            if rest.len() > MAX_LINE_BYTES {
                return Err(not_claviger());
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(not_claviger()) }
    }

    /// Sends a request with a body, and with `If-Match` or `If-None-Match` if given.
    pub async fn send(
        &self,
        method: &Method,
        path: &str,
        condition: Option<(HeaderName, HeaderValue)>,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Answer, Failure> {
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

    async fn call(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let mut response = request.send().await.map_err(|error| http_client::unreachable(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(refused(&mut response).await?);
        }
        let request_id = http_client::request_id(response.headers());
        let body = http_client::read(&mut response, MAX_BODY_BYTES).await?;
        Ok(Answer { status: status.as_u16(), request_id, body: body.to_vec() })
    }
}

/// The failure of an unsuccessful answer.
async fn refused(response: &mut Response) -> Result<Failure, Failure> {
    let (status, request_id) = (response.status().as_u16(), http_client::request_id(response.headers()));
    let body = http_client::read(response, MAX_BODY_BYTES).await?;
    Ok(Failure::Refused { status, problem: serde_json::from_slice(&body).ok(), request_id })
}

fn not_claviger() -> Failure {
    Failure::Failed("the server's answer is not a stream of audit events".into())
}

/// Connects with the given options, and runs an operation.
pub fn on(server: &ServerArguments, act: impl AsyncFnOnce(Connection) -> Result<(), Failure>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {}", error.kind())))?;
    runtime.block_on(async { act(Connection::open(server).await?).await })
}
