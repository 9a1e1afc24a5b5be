//! An HTTP/1.1 server with TLS and its own certificate, whose answers a function chooses.

use crate::rig::fake::{Reaction, react};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A request.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    pub method: String,
    /// With its query.
    pub target: String,
    /// By names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl ReceivedRequest {
    /// The bearer token.
    pub fn token(&self) -> Option<&str> {
        self.headers.get("authorization")?.strip_prefix("Bearer ")
    }

    /// A field of a form.
    pub fn field(&self, name: &str) -> Option<String> {
        let value = self.body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        let value = value.replace('+', " ");
        Some(percent_encoding::percent_decode_str(&value).decode_utf8().ok()?.into_owned())
    }
}

/// A running server; it ends when this is dropped.
pub struct TlsServer {
    /// `https://127.0.0.1:P`.
    pub address: String,
    folder: TempDir,
    task: JoinHandle<()>,
}

impl TlsServer {
    /// Starts one.
    pub async fn start(decide: impl Fn(&ReceivedRequest) -> Reaction + Send + Sync + 'static) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let decide = Arc::new(decide);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, decide) = (acceptor.clone(), decide.clone());
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await.ok()?;
                    let request = read(&mut stream).await?;
                    // With some reactions the client closes the connection first.
                    react(&mut stream, decide(&request)).await.ok()?;
                    tokio::io::AsyncWriteExt::shutdown(&mut stream).await.ok()
                });
            }
        });
        Self { address, folder, task }
    }

    /// The PEM file of its certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<ReceivedRequest> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut request = lines.next()?.split(' ');
    let (method, target) = (request.next()?.to_owned(), request.next()?.to_owned());
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(ReceivedRequest { method, target, headers, body: String::from_utf8(body).unwrap() })
}
