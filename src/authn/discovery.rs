//! OIDC Discovery: fetches an issuer's metadata and keys, without a cache.

use super::jwks::{self, KeySet, KeySetError};
use super::strict_json;
use crate::config::authenticators::Oidc;
use crate::trust::{ConnectFailure, FileStamp, Trust, TrustError, TrustFiles};
use reqwest::{Client, Proxy, Response, Url, redirect, retry};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Time limit for both documents together. It is short, because a request may be waiting for the keys.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// The HTTP client of one issuer. It follows no redirects, keeps no cookies, and uses only the configured proxy.
pub struct Discovery {
    /// The exact `iss`.
    issuer: String,
    /// The issuer as a parsed URL.
    url: Url,
    http: Client,
    /// `None` for plain HTTP on a machine without root certificates.
    trust: Option<Trust>,
    ca_file: Option<PathBuf>,
    /// `FileStamp` of the CA file at the last fetch, or at creation if there was none.
    ca_stamp: Mutex<Option<FileStamp>>,
}

/// Why the client of an issuer cannot be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryClientError {
    /// The issuer is not a usable address.
    #[error("the issuer is not an http or https URL")]
    Address,
    /// The proxy is not a usable address.
    #[error("must be the address of a proxy, such as http://host:3128")]
    Proxy,
    /// The CA file cannot be used, or there are no root certificates.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// Why no keys were fetched. The messages contain nothing of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum KeyFetchError {
    /// No connection or no TLS session, with a known cause.
    #[error("cannot connect to the issuer: {}", .0.sentence())]
    Unconnected(ConnectFailure),
    /// No connection, with an unknown cause.
    #[error("cannot connect to the issuer")]
    Connect,
    /// No complete response before the deadline.
    #[error("the issuer did not answer in time")]
    Timeout,
    /// The connection broke, or the response is not HTTP.
    #[error("the connection to the issuer broke")]
    Broken,
    /// A status other than 200; redirects are not followed.
    #[error("the issuer responded with status {0}")]
    Status(u16),
    /// A response above the size limit.
    #[error("the issuer's response is longer than 1 MiB")]
    TooLarge,
    /// The document is not JSON, or lacks `issuer` or `jwks_uri`.
    #[error("the issuer's discovery document is malformed")]
    Malformed,
    /// The `issuer` in the document is not the configured one.
    #[error("the discovery document belongs to another issuer")]
    OtherIssuer,
    /// The `jwks_uri` is not a plain `https` URL; without TLS it is allowed only for an issuer without TLS.
    #[error("the issuer's jwks_uri is neither https nor, for an issuer without TLS, on the same server")]
    JwksUri,
    /// The key set cannot be used.
    #[error("the issuer's key set {0}")]
    KeySet(KeySetError),
}

impl Discovery {
    /// Creates a client and reads the CA file. Sends nothing. `name` is the name of the authenticator.
    ///
    /// # Errors
    /// The client cannot be created.
    pub fn new(name: &str, config: &Oidc) -> Result<Self, DiscoveryClientError> {
        let Oidc { issuer, ca_file, proxy_url, .. } = config;
        let url = Url::parse(issuer).map_err(|_| DiscoveryClientError::Address)?;
        // reqwest uses the process's crypto provider and panics without one; a second installation has no effect.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let ca_stamp = Mutex::new(ca_file.as_deref().and_then(FileStamp::read));
        let trust = Trust::open(name, &TrustFiles { ca: ca_file.clone(), client: None });
        let trust = match (url.scheme(), trust) {
            ("https" | "http", Ok(trust)) => Some(trust),
            // Plain HTTP works on a machine without root certificates.
            ("http", Err(TrustError::SystemRoots)) => None,
            ("https" | "http", Err(error)) => return Err(error.into()),
            _ => return Err(DiscoveryClientError::Address),
        };
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .https_only(url.scheme() == "https")
            .connect_timeout(FETCH_TIMEOUT)
            .timeout(FETCH_TIMEOUT);
        if let Some(proxy) = proxy_url {
            builder = builder.proxy(Proxy::all(proxy).map_err(|_| DiscoveryClientError::Proxy)?);
        }
        builder = match &trust {
            Some(trust) => builder.tls_backend_preconfigured(trust.client_config()),
            None => builder.tls_certs_only([]),
        };
        let http = builder.build().map_err(|_| TrustError::SystemRoots)?;
        Ok(Self { issuer: issuer.clone(), url, http, trust, ca_file: ca_file.clone(), ca_stamp })
    }

    /// Whether the CA file has changed since the last fetch.
    pub fn ca_file_changed(&self) -> bool {
        self.current_ca_stamp() != *self.ca_stamp.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current_ca_stamp(&self) -> Option<FileStamp> {
        self.ca_file.as_deref().and_then(FileStamp::read)
    }

    /// Whether the issuer is reached without TLS over the network, so that an attacker on the path can respond in place of the
    /// issuer.
    pub fn is_without_tls(&self) -> bool {
        self.url.scheme() == "http" && !is_loopback(&self.url)
    }

    /// Fetches the issuer's current keys.
    ///
    /// # Errors
    /// See [`KeyFetchError`].
    pub async fn keys(&self) -> Result<KeySet, KeyFetchError> {
        *self.ca_stamp.lock().unwrap_or_else(PoisonError::into_inner) = self.current_ca_stamp();
        timeout(FETCH_TIMEOUT, self.fetch_keys()).await.unwrap_or(Err(KeyFetchError::Timeout))
    }

    async fn fetch_keys(&self) -> Result<KeySet, KeyFetchError> {
        // OpenID Connect Discovery 1.0, section 4.1: a trailing slash is removed before the path is appended.
        let address = format!("{}{WELL_KNOWN}", self.issuer.strip_suffix('/').unwrap_or(&self.issuer));
        let address = Url::parse(&address).map_err(|_| KeyFetchError::Malformed)?;
        let document = strict_json::parse_object(&self.get(address).await?).ok_or(KeyFetchError::Malformed)?;
        let member = |name| document.get(name).and_then(Value::as_str).ok_or(KeyFetchError::Malformed);
        if member("issuer")? != self.issuer {
            return Err(KeyFetchError::OtherIssuer);
        }
        let address = parse_jwks_uri(&self.url, member("jwks_uri")?).ok_or(KeyFetchError::JwksUri)?;
        KeySet::parse(&self.get(address).await?).map_err(KeyFetchError::KeySet)
    }

    async fn get(&self, address: Url) -> Result<Vec<u8>, KeyFetchError> {
        let mut response = self.http.get(address).send().await.map_err(|error| self.send_error(&error))?;
        if let Some(trust) = &self.trust {
            trust.record_response();
        }
        match response.status().as_u16() {
            200 => read_body(&mut response).await,
            status => Err(KeyFetchError::Status(status)),
        }
    }

    /// The error of a request without a response.
    fn send_error(&self, error: &reqwest::Error) -> KeyFetchError {
        let failure =
            self.trust.as_ref().map_or_else(|| ConnectFailure::from_error(error), |trust| trust.connect_failure(error));
        match failure {
            Some(failure) if !error.is_timeout() => KeyFetchError::Unconnected(failure),
            _ => http_error(error),
        }
    }
}

async fn read_body(response: &mut Response) -> Result<Vec<u8>, KeyFetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| http_error(&error))? {
        if body.len() + chunk.len() > jwks::MAX_BYTES {
            return Err(KeyFetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The address of the keys: an `https` URL without user, password and fragment. An issuer without TLS may also name an `http` URL
/// on its own server or on this machine. `None` for any other text.
fn parse_jwks_uri(issuer: &Url, text: &str) -> Option<Url> {
    let address = Url::parse(text).ok()?;
    let has_no_extras = address.username().is_empty() && address.password().is_none() && address.fragment().is_none();
    let is_same_server = || address.origin() == issuer.origin();
    let is_allowed_scheme = match address.scheme() {
        "https" => true,
        "http" => issuer.scheme() == "http" && (is_same_server() || is_loopback(&address)),
        _ => false,
    };
    (has_no_extras && is_allowed_scheme).then_some(address)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || literal.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The kind of a reqwest error. Its text is not used, because it contains a URL that comes from the issuer.
fn http_error(error: &reqwest::Error) -> KeyFetchError {
    if error.is_timeout() {
        KeyFetchError::Timeout
    } else if error.is_connect() {
        KeyFetchError::Connect
    } else {
        KeyFetchError::Broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwks_uri_without_tls_is_allowed_only_for_an_issuer_without_tls() {
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
            let address = parse_jwks_uri(&Url::parse(issuer).unwrap(), keys);
            assert_eq!(address.is_some(), good, "{issuer} {keys}");
        }
    }

    fn discovery(
        issuer: &str,
        ca_file: Option<PathBuf>,
        proxy_url: Option<&str>,
    ) -> Result<Discovery, DiscoveryClientError> {
        let (issuer, proxy_url) = (issuer.to_owned(), proxy_url.map(str::to_owned));
        let (audience, jwks_file, algorithms) = ("claviger".into(), None, Vec::new());
        Discovery::new("issuer", &Oidc { issuer, audience, jwks_file, algorithms, ca_file, proxy_url })
    }

    #[test]
    fn an_issuer_must_be_an_http_or_https_url() {
        for (issuer, without_tls) in [
            ("https://issuer.example", false),
            ("http://issuer.example", true),
            ("http://127.0.0.1:8080", false),
            ("http://[::1]", false),
        ] {
            assert_eq!(discovery(issuer, None, None).map(|it| it.is_without_tls()), Ok(without_tls), "{issuer}");
        }
        for issuer in ["", "issuer", "ftp://issuer.example"] {
            assert_eq!(discovery(issuer, None, None).err(), Some(DiscoveryClientError::Address), "{issuer}");
        }
    }

    #[test]
    fn a_ca_file_and_a_proxy_must_be_usable() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("ca.pem"), folder.path().join("bad.pem"));
        std::fs::write(&good, rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem()).unwrap();
        std::fs::write(&bad, "no PEM").unwrap();
        let error = |ca: &PathBuf, proxy| discovery("https://issuer.example", Some(ca.clone()), proxy).err();
        assert_eq!(error(&good, None), None);
        assert_eq!(error(&good, Some("http://127.0.0.1:3128")), None);
        assert_eq!(error(&bad, None), Some(DiscoveryClientError::Trust(TrustError::CaFile)));
        assert_eq!(error(&folder.path().join("nowhere"), None), Some(DiscoveryClientError::Trust(TrustError::CaFile)));
        assert_eq!(error(&good, Some("not a proxy")), Some(DiscoveryClientError::Proxy));
        let discovery = discovery("https://issuer.example", Some(good.clone()), None).unwrap();
        assert!(!discovery.ca_file_changed());
        std::fs::write(&good, rcgen::generate_simple_self_signed(["b".to_owned(), "c".to_owned()]).unwrap().cert.pem())
            .unwrap();
        assert!(discovery.ca_file_changed());
    }
}
