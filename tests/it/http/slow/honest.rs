//! Honest clients: as with `curl`, each request has its own connection, and with TLS its own handshake.

use crate::rig::claviger::download_path;
use crate::rig::http::{Answer, parse};
use crate::rig::oidc::TestServer;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;
use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

const CLIENTS: usize = 4;
/// The pause between two tickets of a client.
const PAUSE: Duration = Duration::from_millis(50);
/// A request without an answer after this time has failed.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Honest {
    api: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    bearer: String,
}

/// How long requests took, handshakes included.
pub struct Waits {
    pub p99: Duration,
    median: Duration,
    count: usize,
}

impl Waits {
    pub fn new(mut waits: Vec<Duration>) -> Self {
        waits.sort_unstable();
        let at = |percent: usize| waits[(waits.len() * percent / 100).min(waits.len() - 1)];
        Self { p99: at(99), median: at(50), count: waits.len() }
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "p50 {:.1?}, p99 {:.1?} of {}", self.median, self.p99, self.count)
    }
}

/// A client that trusts this certificate.
pub fn trusting(certificate: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    // Each connection is a new client without a session to resume.
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

impl Honest {
    pub fn new(server: &TestServer, certificate: Option<CertificateDer<'static>>) -> Self {
        let bearer = server.issuer.token(&json!({}));
        Self { api: server.api, tls: certificate.map(trusting), bearer }
    }

    /// Several clients ask for tickets and redeem them for this long. Fails if any of them does.
    pub fn watch(&self, duration: Duration) -> Vec<Duration> {
        let end = Instant::now() + duration;
        scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| self.request_until(end))).collect();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        })
    }

    fn request_until(&self, end: Instant) -> Vec<Duration> {
        let mut waits = Vec::new();
        let body = "repo=site&branch=main";
        let ask = format!(
            "POST /v1/tickets HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            self.bearer,
            body.len()
        );
        while Instant::now() < end {
            let issued = self.timed(&ask, &mut waits);
            assert_eq!(issued.status, 201, "{issued:?}");
            let path = download_path(&issued);
            let redeem = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let redeemed = self.timed(&redeem, &mut waits);
            assert_eq!(redeemed.status, 200, "{redeemed:?}");
            assert!(redeemed.text().starts_with("export TOKEN='s3cret'\n"));
            sleep(PAUSE);
        }
        waits
    }

    fn timed(&self, request: &str, waits: &mut Vec<Duration>) -> Answer {
        let started = Instant::now();
        let stream = TcpStream::connect_timeout(&self.api, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let answer = match &self.tls {
            None => exchange(stream, request),
            Some(config) => {
                let name = ServerName::from(self.api.ip());
                let connection = ClientConnection::new(config.clone(), name).unwrap();
                exchange(StreamOwned::new(connection, stream), request)
            }
        };
        waits.push(started.elapsed());
        answer
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    parse(&bytes)
}
