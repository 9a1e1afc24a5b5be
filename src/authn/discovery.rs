//! OIDC Discovery: fetches an issuer's metadata and keys. Nothing is cached here.

use super::jwks::{self, KeySet, KeySetError};
use super::strict_json;
use crate::cluster::stamp::Stamp;
use crate::config::authenticators::Oidc;
use crate::trust::{ConnectFailure, Trust, TrustError, TrustFiles};
use reqwest::{Client, Proxy, Response, Url, redirect, retry};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Time limit for both documents together; a request may be waiting.
const DEADLINE: Duration = Duration::from_secs(5);
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// The client of one issuer: without redirects and cookies, and without a proxy unless one is configured.
pub struct Discovery {
    /// The exact `iss`.
    issuer: String,
    /// The issuer as a parsed URL.
    url: Url,
    http: Client,
    /// `None` without TLS.
    trust: Option<Trust>,
    ca_file: Option<PathBuf>,
    /// Stamp of the CA file at the last fetch.
    ca_stamp: Mutex<Option<Stamp>>,
}

/// Why the client of an issuer cannot be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotDiscover {
    /// The issuer is not a usable address.
    #[error("the issuer is not an http or https URL")]
    Address,
    /// The proxy is not a usable address.
    #[error("must be the address of a proxy, such as http://host:3128")]
    Proxy,
    /// There are no root certificates.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// Why no keys were fetched. Nothing of the answer is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FetchFault {
    /// No connection or no TLS session, with a known cause.
    #[error("cannot connect to the issuer: {}", .0.sentence())]
    Unconnected(ConnectFailure),
    /// No connection for another reason.
    #[error("cannot connect to the issuer")]
    Connect,
    /// No complete answer before the deadline.
    #[error("the issuer did not answer in time")]
    Timeout,
    /// The connection broke, or the answer is not HTTP.
    #[error("the connection to the issuer broke")]
    Broken,
    /// A status other than 200; redirects are not followed.
    #[error("the issuer answered with status {0}")]
    Status(u16),
    /// An answer above the size limit.
    #[error("the issuer's answer is longer than 1 MiB")]
    TooLarge,
    /// The document is not JSON, or lacks `issuer` or `jwks_uri`.
    #[error("the issuer's discovery document is malformed")]
    Malformed,
    /// The document has another `issuer`.
    #[error("the discovery document belongs to another issuer")]
    OtherIssuer,
    /// The address of the keys is not protected by TLS.
    #[error("the issuer's jwks_uri is neither https nor, for an issuer without TLS, of the same server")]
    KeysAddress,
    /// The key set cannot be used.
    #[error("the issuer's key set {0}")]
    Keys(KeySetError),
}

impl Discovery {
    /// Creates a client and reads the CA file. Sends nothing. `name` is that of the authenticator.
    ///
    /// # Errors
    /// The client cannot be created.
    pub fn new(name: &str, config: &Oidc) -> Result<Self, CannotDiscover> {
        let Oidc { issuer, ca_file, proxy_url, .. } = config;
        let url = Url::parse(issuer).map_err(|_| CannotDiscover::Address)?;
        // reqwest uses the process's crypto provider and panics without one; a second installation has no effect.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let ca_stamp = Mutex::new(ca_file.as_deref().and_then(Stamp::of));
        let trust = Trust::open(name, &TrustFiles { ca: ca_file.clone(), client: None });
        let trust = match (url.scheme(), trust) {
            ("https" | "http", Ok(trust)) => Some(trust),
            // Plain HTTP works on a machine without root certificates.
            ("http", Err(TrustError::SystemRoots)) => None,
            ("https" | "http", Err(error)) => return Err(error.into()),
            _ => return Err(CannotDiscover::Address),
        };
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .https_only(url.scheme() == "https")
            .connect_timeout(DEADLINE)
            .timeout(DEADLINE);
        if let Some(proxy) = proxy_url {
            builder = builder.proxy(Proxy::all(proxy).map_err(|_| CannotDiscover::Proxy)?);
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

    fn current_ca_stamp(&self) -> Option<Stamp> {
        self.ca_file.as_deref().and_then(Stamp::of)
    }

    /// Whether an attacker on the network could answer in place of the issuer.
    pub fn is_without_tls(&self) -> bool {
        self.url.scheme() == "http" && !is_loopback(&self.url)
    }

    /// Fetches the issuer's current keys.
    ///
    /// # Errors
    /// See [`FetchFault`].
    pub async fn keys(&self) -> Result<KeySet, FetchFault> {
        *self.ca_stamp.lock().unwrap_or_else(PoisonError::into_inner) = self.current_ca_stamp();
        timeout(DEADLINE, self.fetch_keys()).await.unwrap_or(Err(FetchFault::Timeout))
    }

    async fn fetch_keys(&self) -> Result<KeySet, FetchFault> {
        // OpenID Connect Discovery 1.0, 4.1: a trailing slash is removed before the path is appended.
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
        let mut answer = self.http.get(address).send().await.map_err(|error| self.fault(&error))?;
        if let Some(trust) = &self.trust {
            trust.record_response();
        }
        match answer.status().as_u16() {
            200 => body(&mut answer).await,
            status => Err(FetchFault::Status(status)),
        }
    }

    fn fault(&self, error: &reqwest::Error) -> FetchFault {
        let failure =
            self.trust.as_ref().map_or_else(|| ConnectFailure::from_error(error), |trust| trust.connect_failure(error));
        match failure {
            Some(failure) if !error.is_timeout() => FetchFault::Unconnected(failure),
            _ => fault(error),
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

/// The address of the keys. It must use TLS; an issuer without TLS may have its keys on the same server or on this
/// machine.
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

/// A reqwest error is never shown: its URL comes from the issuer.
fn fault(error: &reqwest::Error) -> FetchFault {
    if error.is_timeout() {
        FetchFault::Timeout
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

    fn of(issuer: &str, ca_file: Option<PathBuf>, proxy_url: Option<&str>) -> Result<Discovery, CannotDiscover> {
        let (issuer, proxy_url) = (issuer.to_owned(), proxy_url.map(str::to_owned));
        let (audience, jwks_file, algorithms) = ("claviger".into(), None, Vec::new());
        Discovery::new("issuer", &Oidc { issuer, audience, jwks_file, algorithms, ca_file, proxy_url })
    }

    #[test]
    fn an_issuer_is_an_address() {
        for (issuer, without_tls) in [
            ("https://issuer.example", false),
            ("http://issuer.example", true),
            ("http://127.0.0.1:8080", false),
            ("http://[::1]", false),
        ] {
            assert_eq!(of(issuer, None, None).map(|one| one.is_without_tls()), Ok(without_tls), "{issuer}");
        }
        for issuer in ["", "issuer", "ftp://issuer.example"] {
            assert_eq!(of(issuer, None, None).err(), Some(CannotDiscover::Address), "{issuer}");
        }
    }

    #[test]
    fn a_ca_file_and_a_proxy_must_be_usable() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("ca.pem"), folder.path().join("bad.pem"));
        std::fs::write(&good, rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem()).unwrap();
        std::fs::write(&bad, "no PEM").unwrap();
        let with = |ca: &PathBuf, proxy| of("https://issuer.example", Some(ca.clone()), proxy).err();
        assert_eq!(with(&good, None), None);
        assert_eq!(with(&good, Some("http://127.0.0.1:3128")), None);
        assert_eq!(with(&bad, None), Some(CannotDiscover::Trust(TrustError::CaFile)));
        assert_eq!(with(&folder.path().join("nowhere"), None), Some(CannotDiscover::Trust(TrustError::CaFile)));
        assert_eq!(with(&good, Some("not a proxy")), Some(CannotDiscover::Proxy));
        let discovery = of("https://issuer.example", Some(good.clone()), None).unwrap();
        assert!(!discovery.ca_file_changed());
        std::fs::write(&good, rcgen::generate_simple_self_signed(["b".to_owned(), "c".to_owned()]).unwrap().cert.pem())
            .unwrap();
        assert!(discovery.ca_file_changed());
    }
}
