//! The server options of commands, and the only place that builds their HTTP clients.
//!
//! The clients follow no redirects, use no proxy or proxy variables, and read bodies within a bound. The token never comes from
//! the command line, and is never printed.

use super::failure::Failure;
use super::patience::Patience;
use super::token::TokenArguments;
use super::workflow::Commands;
use crate::trust::{ConnectFailure, Trust, TrustError, TrustFiles};
use http::HeaderMap;
use http::header::HeaderValue;
use reqwest::{Client, Response, Url, redirect, retry};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

const MAX_REQUEST_ID_BYTES: usize = 64;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Slightly longer than the time limit of the server itself.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// How to reach a server.
#[derive(Debug, clap::Args)]
pub struct ServerArguments {
    /// Server URL, for example `https://claviger.claviger.svc:8443`.
    #[arg(long, env = "CLAVIGER_URL", value_name = "URL")]
    server: String,
    /// Allow `http` to another host; token and secrets are sent unencrypted.
    #[arg(long, env = "CLAVIGER_INSECURE")]
    insecure: bool,
    #[command(flatten)]
    pub token: TokenArguments,
    /// CA certificates (PEM) to trust instead of the system's.
    #[arg(long, env = "CLAVIGER_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl ServerArguments {
    /// Options for commands that do not require a server.
    pub const fn new(server: String, token_file: PathBuf, ca_file: Option<PathBuf>, insecure: bool) -> Self {
        Self { server, insecure, token: TokenArguments::file(token_file), ca_file }
    }

    /// The server's URL.
    pub fn origin(&self) -> Result<Url, Failure> {
        let url = origin(&self.server).ok_or_else(|| {
            Failure::usage("--server: must be http://HOST[:PORT] or https://HOST[:PORT], and no more than that")
        })?;
        if self.may_send_to(&url) {
            return Ok(url);
        }
        Err(Failure::usage("--server: http would send the token in clear; use https, or allow it with --insecure"))
    }

    /// Whether tokens and secrets may be sent to or from this URL: with TLS, on this machine, or if allowed explicitly.
    pub fn may_send_to(&self, url: &Url) -> bool {
        self.insecure || url.scheme() == "https" || is_loopback(url)
    }

    /// The `Authorization` header. The token is read or requested now.
    #[expect(clippy::disallowed_methods, reason = "the token goes into the header that it is for")]
    pub async fn bearer(&self, commands: Commands, patience: &mut Patience) -> Result<HeaderValue, Failure> {
        let token = self.token.token(commands, patience).await?;
        let text = Zeroizing::new(format!("Bearer {}", token.expose_secret()));
        let mut bearer = HeaderValue::from_str(&text).map_err(|_| Failure::usage("the bearer token cannot be sent"))?;
        bearer.set_sensitive(true);
        Ok(bearer)
    }

    /// A client for URLs of this scheme.
    pub fn client(&self, scheme: &str) -> Result<Client, Failure> {
        client(scheme, self.ca_file.as_deref())
    }
}

/// A client for URLs of this scheme. With `https`, the server's certificate must be valid.
pub fn client(scheme: &str, ca_file: Option<&Path>) -> Result<Client, Failure> {
    let builder = Client::builder()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN);
    let builder = match scheme {
        // Without TLS there is no certificate to check, and no CA bundle is needed.
        "http" => builder.tls_certs_only([]),
        _ => builder.https_only(true).tls_backend_preconfigured(trust(ca_file)?.client_config()),
    };
    builder.build().map_err(|_| no_roots())
}

/// Reads a body of at most `cap` bytes, which is overwritten when dropped.
pub async fn read(response: &mut Response, cap: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let too_large = || Failure::Failed("the server's answer is too large".into());
    let announced = response.content_length().map_or(Ok(0), usize::try_from).map_err(|_| too_large())?;
    if announced > cap {
        return Err(too_large());
    }
    // Full capacity from the start: a vector that grows leaves its old contents in memory.
    let mut body = Zeroizing::new(Vec::with_capacity(announced));
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + chunk.len() > cap {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The server's request id, if it has the expected form.
pub fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    let is_sane = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (!id.is_empty() && id.len() <= MAX_REQUEST_ID_BYTES && id.bytes().all(is_sane)).then(|| id.to_owned())
}

/// A description of a reqwest error. The error itself is not shown: its URL may be a secret.
pub fn unreachable(error: &reqwest::Error) -> Failure {
    match ConnectFailure::of(error) {
        Some(failure @ (ConnectFailure::UnknownIssuer | ConnectFailure::CaAsEndEntity)) => {
            Failure::Failed(format!("{} (see --ca-file)", failure.sentence()))
        }
        Some(failure) if failure.may_pass() => Failure::Unreachable(failure.sentence()),
        // A retry does not help.
        Some(failure) => Failure::Failed(failure.sentence().into()),
        None if error.is_timeout() => Failure::Unreachable("no answer in time"),
        None if error.is_connect() => Failure::Unreachable("no connection, or no TLS on it"),
        None => Failure::Unreachable("the connection broke"),
    }
}

/// Whether the host is this machine: 127.0.0.0/8, `::1` or localhost. Other names are not resolved.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Parses an origin. A URL with other parts is refused, because they would be sent or silently ignored.
fn origin(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_origin = url.has_host()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    Some(url).filter(|url| is_origin && matches!(url.scheme(), "http" | "https"))
}

fn trust(ca_file: Option<&Path>) -> Result<Trust, Failure> {
    let files = TrustFiles { ca: ca_file.map(Path::to_owned), client: None };
    Trust::open("--ca-file", &files).map_err(|error| match (error, ca_file) {
        (TrustError::CaFile, Some(file)) => {
            Failure::usage(format!("--ca-file: {}: cannot be read or holds no PEM certificate", file.display()))
        }
        _ => no_roots(),
    })
}

fn no_roots() -> Failure {
    Failure::usage("no usable root certificates are installed; use --ca-file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_origin() {
        for good in ["http://127.0.0.1:8080", "https://claviger.claviger.svc:8443/", "http://[::1]:1"] {
            assert!(origin(good).is_some(), "{good}");
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
            assert!(origin(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn only_loopback_is_reached_in_clear_unless_it_is_allowed() {
        let arguments = |server: &str, insecure| ServerArguments::new(server.into(), "token".into(), None, insecure);
        for good in [
            "http://127.0.0.1:8080",
            "http://127.9.9.9",
            "http://[::1]:8080",
            "http://localhost:8080",
            "http://LOCALHOST",
            "https://claviger.claviger.svc:8443",
            "https://192.0.2.1",
        ] {
            assert!(arguments(good, false).origin().is_ok(), "{good}");
        }
        for bad in [
            "http://claviger.claviger.svc:8080",
            "http://10.0.0.1",
            "http://0.0.0.0",
            "http://[::]",
            "http://[::ffff:10.0.0.1]",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://128.0.0.1",
        ] {
            assert!(arguments(bad, false).origin().is_err(), "{bad}");
            assert!(arguments(bad, true).origin().is_ok(), "{bad}");
        }
    }

    #[test]
    fn a_malformed_request_id_is_dropped() {
        let id = |text: &str| request_id(&HeaderMap::from_iter([("x-request-id".parse().ok()?, text.parse().ok()?)]));
        assert_eq!(id("0a-B_c.9").as_deref(), Some("0a-B_c.9"));
        for bad in ["", "a b", "a\tb", "é", &"a".repeat(65)] {
            assert_eq!(id(bad), None, "{bad}");
        }
    }
}
