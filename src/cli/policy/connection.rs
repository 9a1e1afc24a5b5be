//! The HTTP client of the command line: how a server is named, and the only place where it is called.
//!
//! It follows no redirect, uses no proxy, and reads no body beyond a bound. The token comes from a file, goes into one
//! header, and is never printed.

use super::failure::Failure;
use super::input;
use crate::model::secret::SecretValue;
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, RequestBuilder, Response, Url, redirect, retry};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// More than a page of a hundred policies that are as large as a server takes them.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
const MAX_TOKEN_BYTES: usize = 64 * 1024;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Somewhat longer than a server takes before it says itself that it took too long.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// How a server is reached.
#[derive(Debug, clap::Args)]
pub struct ServerArguments {
    /// The server, as `https://claviger.claviger.svc:8443`.
    #[arg(long, env = "CLAVIGER_URL", value_name = "URL")]
    server: String,
    /// A file with the bearer token of an administrator.
    #[arg(long, env = "CLAVIGER_TOKEN_FILE", value_name = "FILE")]
    token_file: PathBuf,
    /// Certificates that the server's is checked against, instead of the machine's.
    #[arg(long, env = "CLAVIGER_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

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
    body: Vec<u8>,
}

impl Answer {
    /// The body.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let stranger = Failure::Refused { status: self.status, problem: None };
        serde_json::from_slice(&self.body).map_err(|_| stranger)
    }
}

impl Connection {
    /// Reads the token and the certificates. Calls nobody yet.
    pub fn open(arguments: &ServerArguments) -> Result<Self, Failure> {
        let url = server(&arguments.server).ok_or_else(|| {
            Failure::usage("--server: must be http://HOST[:PORT] or https://HOST[:PORT], and no more than that")
        })?;
        let token = token(&arguments.token_file, "--token-file")?;
        let http = client(&url, arguments.ca_file.as_deref())?;
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), bearer: bearer(&token)?, http })
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
        let mut response = request.send().await.map_err(|error| unreachable(&error))?;
        let status = response.status().as_u16();
        let body = read(&mut response).await?;
        if (200..300).contains(&status) {
            return Ok(Answer { status, body });
        }
        Err(Failure::Refused { status, problem: serde_json::from_slice(&body).ok() })
    }
}

/// A token in a file, as it can be sent.
pub fn token(file: &Path, option: &str) -> Result<SecretValue, Failure> {
    let wrong = |reason: &str| Failure::usage(format!("{option}: {}: {reason}", file.display()));
    let text = input::text_of_at_most(file, MAX_TOKEN_BYTES).map_err(|reason| wrong(&reason))?;
    let token = text.trim();
    let is_token68 = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if token.is_empty() || !token.bytes().all(is_token68) {
        return Err(wrong("has no bearer token in it"));
    }
    Ok(SecretValue::new(token.to_owned()))
}

#[expect(clippy::disallowed_methods, reason = "the token goes into the header that it is for")]
fn bearer(token: &SecretValue) -> Result<HeaderValue, Failure> {
    let text = Zeroizing::new(format!("Bearer {}", token.expose_secret()));
    let mut bearer = HeaderValue::from_str(&text).map_err(|_| Failure::usage("--token-file: it cannot be sent"))?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

/// An origin: what else a URL has would be sent, or dropped without a word.
fn server(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_origin = url.has_host()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    Some(url).filter(|url| is_origin && matches!(url.scheme(), "http" | "https"))
}

fn client(url: &Url, ca_file: Option<&Path>) -> Result<Client, Failure> {
    let builder = Client::builder()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN);
    let builder = match (url.scheme(), ca_file) {
        // Without TLS there is nothing to check, and a machine without a CA bundle is good enough.
        ("http", _) => builder.tls_certs_only([]),
        (_, None) => builder.https_only(true),
        (_, Some(file)) => builder.https_only(true).tls_certs_only(roots(file)?),
    };
    builder.build().map_err(|_| Failure::usage("the machine has no usable certificates; name some with --ca-file"))
}

fn roots(file: &Path) -> Result<Vec<Certificate>, Failure> {
    let wrong = |reason: &str| Failure::usage(format!("--ca-file: {}: {reason}", file.display()));
    let pem = input::text(file).map_err(|line| Failure::usage(format!("--ca-file: {line}")))?;
    let roots = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| wrong("is no certificate"))?;
    if roots.is_empty() { Err(wrong("has no certificate")) } else { Ok(roots) }
}

async fn read(response: &mut Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(Failure::Failed("the server's answer is too large".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A reqwest error is not shown: its URL is known, and its causes are not for people.
fn unreachable(error: &reqwest::Error) -> Failure {
    Failure::Unreachable(if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection, or no TLS on it"
    } else {
        "the connection broke"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_origin() {
        for good in ["http://127.0.0.1:8080", "https://claviger.claviger.svc:8443/", "http://[::1]:1"] {
            assert!(server(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "claviger",
            "127.0.0.1:8080",
            "ftp://a",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://u:p@a",
            "https://u@a",
            "file:///",
        ] {
            assert!(server(bad).is_none(), "{bad}");
        }
    }
}
