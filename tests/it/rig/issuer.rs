//! An OIDC issuer over HTTP, with configurable documents, which counts requests.

use super::json::set_members;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::model::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// The path of the issuer's discovery document.
const DISCOVERY: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/keys";

/// A running issuer. It ends when dropped.
pub struct IssuerServer {
    /// The value of `iss`.
    pub url: String,
    /// The listener's address.
    pub address: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct State {
    discovery: Mutex<DocumentAnswer>,
    keys: Mutex<DocumentAnswer>,
    asked: Mutex<Vec<String>>,
    new_request: Notify,
}

/// The answer to a request for a document.
#[derive(Clone, Default)]
pub enum DocumentAnswer {
    /// Closes the connection without an answer.
    #[default]
    Closed,
    /// Answers with this document.
    Json(Value),
    /// Answers with this status, header and body.
    Response(u16, &'static str, String),
    /// Never answers, with an open connection.
    Silence,
    /// A body without end.
    Endless,
}

/// A key to sign with.
pub struct SigningKey {
    id: Option<&'static str>,
    pair: EcdsaKeyPair,
}

impl SigningKey {
    /// A new key with this ID.
    pub fn new(id: &'static str) -> Self {
        Self { id: Some(id), ..Self::without_id() }
    }

    /// A new key without an ID.
    pub fn without_id() -> Self {
        let made = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self { id: None, pair: made.unwrap() }
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let mut jwk = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)});
        if let Some(id) = self.id {
            jwk["kid"] = id.into();
        }
        jwk
    }

    /// A token of this issuer for the audience `claviger`.
    pub fn token(&self, issuer: &str) -> String {
        let mut header = json!({"alg": "ES256"});
        if let Some(id) = self.id {
            header["kid"] = id.into();
        }
        let now = SystemClock.now().as_second();
        let claims = json!({
            "iss": issuer, "aud": "claviger", "sub": "repo:acme/site", "exp": now + 600,
            "runner_id": 7, "groups_direct": ["a", "b"], "nested": {"ok": true},
        });
        let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl IssuerServer {
    /// An issuer with these keys.
    pub async fn start(keys: &[&SigningKey]) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), keys).await
    }

    /// The same at a given address.
    pub async fn start_at(address: SocketAddr, keys: &[&SigningKey]) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let behind = state.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = behind.clone();
                tokio::spawn(async move { answer(stream, &state).await });
            }
        });
        let issuer = Self { url: format!("http://{address}"), address, state, task };
        issuer.publish_keys(keys);
        issuer.change_discovery(&json!({}));
        issuer
    }

    /// Replaces the published keys.
    pub fn publish_keys(&self, keys: &[&SigningKey]) {
        self.answer_keys_with(DocumentAnswer::Json(
            json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()}),
        ));
    }

    /// Changes members of the discovery document; `null` removes a member.
    pub fn change_discovery(&self, members: &Value) {
        let mut document = json!({"issuer": self.url, "jwks_uri": format!("{}{KEYS}", self.url), "other": [1]});
        set_members(&mut document, members);
        self.answer_discovery_with(DocumentAnswer::Json(document));
    }

    /// Sets the answer to requests for the discovery document.
    pub fn answer_discovery_with(&self, answer: DocumentAnswer) {
        *self.state.discovery.lock().unwrap() = answer;
    }

    /// Sets the answer to requests for the keys.
    pub fn answer_keys_with(&self, answer: DocumentAnswer) {
        *self.state.keys.lock().unwrap() = answer;
    }

    /// Waits until there has been a request.
    pub async fn wait_for_request(&self) {
        let asked = self.state.new_request.notified();
        if self.state.asked.lock().unwrap().is_empty() {
            asked.await;
        }
    }

    /// The number of requests for the discovery document and for the keys since the last call.
    pub fn take_request_counts(&self) -> [usize; 2] {
        let asked = std::mem::take(&mut *self.state.asked.lock().unwrap());
        let count = |document| asked.iter().filter(|path| *path == document).count();
        let counts = [count(DISCOVERY), count(KEYS)];
        assert_eq!(counts.iter().sum::<usize>(), asked.len(), "{asked:?}");
        counts
    }
}

impl Drop for IssuerServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream, state: &State) {
    // A request fits into one segment.
    let mut request = [0; 4096];
    let length = stream.read(&mut request).await.unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    state.asked.lock().unwrap().push(path.to_owned());
    state.new_request.notify_waiters();
    let answer = if path == DISCOVERY { &state.discovery } else { &state.keys }.lock().unwrap().clone();
    let (status, headers, body) = match answer {
        DocumentAnswer::Closed => return,
        DocumentAnswer::Json(document) => (200, "content-type: application/json\r\n", document.to_string()),
        DocumentAnswer::Response(status, headers, body) => (status, headers, body),
        DocumentAnswer::Silence => std::future::pending().await,
        DocumentAnswer::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
            while stream.write_all(&[b' '; 4096]).await.is_ok() {}
            return;
        }
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}
