//! OIDC Discovery: what an issuer publishes about itself, and its keys. Asked anew each time; nothing is kept here.

use super::jwks::{self, KeySet, KeySetError};
use super::strict_json;
use crate::trust::ConnectFailure;
use reqwest::{Client, Response, Url, redirect, retry};
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// For both documents together: somebody may be waiting for the answer.
const DEADLINE: Duration = Duration::from_secs(5);
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// One issuer, and how it is asked: without redirects, proxies and cookies.
pub struct Discovery {
    /// The exact `iss`.
    issuer: String,
    /// The same, taken apart.
    url: Url,
    http: Client,
}

/// Why an issuer cannot be asked at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotDiscover {
    /// It has no address that can be asked.
    #[error("the issuer is no address")]
    Address,
    /// There are no root certificates to check it with.
    #[error("the machine's root certificates cannot be read")]
    TlsRoots,
}

/// Why an issuer gave no keys. Nothing that it said is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FetchFault {
    /// No connection, or no TLS on it, for a reason that is known.
    #[error("the issuer cannot be connected to: {}", .0.sentence())]
    Unconnected(ConnectFailure),
    /// The same for another reason.
    #[error("the issuer cannot be connected to")]
    Connect,
    /// No whole answer in time.
    #[error("the issuer did not answer in time")]
    Timeout,
    /// The connection broke, or what came is not HTTP.
    #[error("the connection to the issuer broke")]
    Broken,
    /// A status other than 200; redirects are not followed.
    #[error("the issuer answered with status {0}")]
    Status(u16),
    /// A longer answer than is read.
    #[error("the issuer's answer is longer than 1 MiB")]
    TooLarge,
    /// The document is not JSON, or lacks `issuer` or `jwks_uri`.
    #[error("the issuer's discovery document is none")]
    Malformed,
    /// The document is about somebody else.
    #[error("the discovery document is that of another issuer")]
    OtherIssuer,
    /// The keys would come from where anybody could replace them.
    #[error("the issuer's jwks_uri is neither https nor, for an issuer without TLS, of the same server")]
    KeysAddress,
    /// The keys are none.
    #[error("the issuer's key set {0}")]
    Keys(KeySetError),
}

impl Discovery {
    /// Makes a client. Nothing is sent yet.
    ///
    /// # Errors
    /// When there is nothing to ask with.
    pub fn new(issuer: &str) -> Result<Self, CannotDiscover> {
        let url = Url::parse(issuer).map_err(|_| CannotDiscover::Address)?;
        // reqwest takes the process's provider and panics where there is none; a second installation changes nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let builder = || {
            Client::builder()
                .redirect(redirect::Policy::none())
                .retry(retry::never())
                .referer(false)
                .no_proxy()
                .connect_timeout(DEADLINE)
                .timeout(DEADLINE)
        };
        let http = match url.scheme() {
            "https" => builder().https_only(true).build(),
            // A machine without root certificates is good enough.
            "http" => builder().build().or_else(|_| builder().tls_certs_only([]).build()),
            _ => return Err(CannotDiscover::Address),
        };
        Ok(Self { issuer: issuer.to_owned(), url, http: http.map_err(|_| CannotDiscover::TlsRoots)? })
    }

    /// Whether whoever is on the way to the issuer could answer in its place.
    pub fn is_without_tls(&self) -> bool {
        self.url.scheme() == "http" && !is_loopback(&self.url)
    }

    /// Asks for the keys that the issuer signs with now.
    ///
    /// # Errors
    /// See [`FetchFault`].
    pub async fn keys(&self) -> Result<KeySet, FetchFault> {
        timeout(DEADLINE, self.keys_in_any_time()).await.unwrap_or(Err(FetchFault::Timeout))
    }

    async fn keys_in_any_time(&self) -> Result<KeySet, FetchFault> {
        // OpenID Connect Discovery 1.0, 4.1: a slash at the end goes before the path is added.
        let address = format!("{}{WELL_KNOWN}", self.issuer.strip_suffix('/').unwrap_or(&self.issuer));
        let address = Url::parse(&address).map_err(|_| FetchFault::Malformed)?;
        let document = strict_json::object(&self.get(address).await?).ok_or(FetchFault::Malformed)?;
        let text = |name| document.get(name).and_then(Value::as_str).ok_or(FetchFault::Malformed);
        if text("issuer")? != self.issuer {
            return Err(FetchFault::OtherIssuer);
        }
        let address = keys_address(&self.url, text("jwks_uri")?).ok_or(FetchFault::KeysAddress)?;
        KeySet::parse(&self.get(address).await?).map_err(FetchFault::Keys)
    }

    async fn get(&self, address: Url) -> Result<Vec<u8>, FetchFault> {
        let mut answer = self.http.get(address).send().await.map_err(|error| fault(&error))?;
        match answer.status().as_u16() {
            200 => body(&mut answer).await,
            status => Err(FetchFault::Status(status)),
        }
    }
}

async fn body(answer: &mut Response) -> Result<Vec<u8>, FetchFault> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| fault(&error))? {
        if body.len() + chunk.len() > jwks::MAX_BYTES {
            return Err(FetchFault::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Where the keys are: behind TLS. An issuer that has none itself may have them on the same server, or on this machine.
fn keys_address(issuer: &Url, text: &str) -> Option<Url> {
    let address = Url::parse(text).ok()?;
    let is_plain = address.username().is_empty() && address.password().is_none() && address.fragment().is_none();
    let is_same_server = || address.origin() == issuer.origin();
    let is_good = match address.scheme() {
        "https" => true,
        "http" => issuer.scheme() == "http" && (is_same_server() || is_loopback(&address)),
        _ => false,
    };
    (is_plain && is_good).then_some(address)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || literal.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A reqwest error is never shown: its URL is the issuer's word.
fn fault(error: &reqwest::Error) -> FetchFault {
    if error.is_timeout() {
        FetchFault::Timeout
    } else if let Some(failure) = ConnectFailure::of(error) {
        FetchFault::Unconnected(failure)
    } else if error.is_connect() {
        FetchFault::Connect
    } else {
        FetchFault::Broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_behind_tls_or_from_where_the_issuer_is() {
        let (https, http) = ("https://issuer.example/path", "http://issuer.example:8080");
        for (issuer, keys, good) in [
            (https, "https://issuer.example/keys", true),
            (https, "https://keys.example:8443/keys?version=1", true),
            (https, "http://issuer.example/keys", false),
            (https, "http://127.0.0.1/keys", false),
            (http, "https://keys.example/keys", true),
            (http, "http://issuer.example:8080/keys", true),
            (http, "http://issuer.example/keys", false),
            (http, "http://169.254.169.254/keys", false),
            (http, "http://127.0.0.1:9000/keys", true),
            (http, "http://[::1]:9000/keys", true),
            (http, "http://localhost/keys", true),
            (http, "http://localhost.example/keys", false),
            (https, "https://user@issuer.example/keys", false),
            (https, "https://user:hunter2@issuer.example/keys", false),
            (https, "https://issuer.example/keys#x", false),
            (https, "file:///etc/passwd", false),
            (https, "data:application/json,{}", false),
            (https, "/keys", false),
            (https, "//issuer.example/keys", false),
            (https, "", false),
        ] {
            let address = keys_address(&Url::parse(issuer).unwrap(), keys);
            assert_eq!(address.is_some(), good, "{issuer} {keys}");
        }
    }

    #[test]
    fn an_issuer_is_an_address() {
        for (issuer, without_tls) in [
            ("https://issuer.example", false),
            ("http://issuer.example", true),
            ("http://127.0.0.1:8080", false),
            ("http://[::1]", false),
        ] {
            assert_eq!(Discovery::new(issuer).map(|one| one.is_without_tls()), Ok(without_tls), "{issuer}");
        }
        for issuer in ["", "issuer", "ftp://issuer.example"] {
            assert_eq!(Discovery::new(issuer).err(), Some(CannotDiscover::Address), "{issuer}");
        }
    }
}
