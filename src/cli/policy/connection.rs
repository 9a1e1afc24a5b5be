//! The admin API: one request, one answer. The token goes into one header, and is never printed.

use super::failure::Failure;
use super::server::{self, ServerArguments};
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// More than a page of a hundred policies that are as large as a server takes them.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// A server, and who calls it.
pub struct Connection {
    base: String,
    bearer: HeaderValue,
    http: Client,
}

/// What came back, and is no refusal.
pub struct Answer {
    /// The status.
    pub status: u16,
    request_id: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    /// The body.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| Failure::Refused {
            status: self.status,
            problem: None,
            request_id: self.request_id.clone(),
        })
    }
}

impl Connection {
    /// Reads the token and the certificates. Calls nobody yet.
    pub fn open(arguments: &ServerArguments) -> Result<Self, Failure> {
        let url = arguments.origin()?;
        let bearer = arguments.bearer()?;
        let http = arguments.client(url.scheme())?;
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), bearer, http })
    }

    /// Looks at something.
    pub async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.call(self.request(&Method::GET, path)).await
    }

    /// Sends something, with a condition where there is one.
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
        let mut response = request.send().await.map_err(|error| server::unreachable(&error))?;
        let status = response.status().as_u16();
        let request_id = server::request_id(response.headers());
        let body = server::read(&mut response, MAX_BODY_BYTES).await?;
        if (200..300).contains(&status) {
            return Ok(Answer { status, request_id, body: body.to_vec() });
        }
        Err(Failure::Refused { status, problem: serde_json::from_slice(&body).ok(), request_id })
    }
}
