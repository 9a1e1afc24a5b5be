//! An OIDC issuer with configurable documents that counts requests.

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
pub struct Issuer {
    /// Its `iss`.
    pub url: String,
    /// Where it listens.
    pub address: SocketAddr,
    desk: Arc<Desk>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Desk {
    discovery: Mutex<Says>,
    keys: Mutex<Says>,
    asked: Mutex<Vec<String>>,
    someone_asks: Notify,
}

/// The answer to a request for a document.
#[derive(Clone, Default)]
pub enum Says {
    /// Closes the connection without an answer.
    #[default]
    HangsUp,
    /// Answers with this document.
    Json(Value),
    /// Answers with this status, header and body.
    Answers(u16, &'static str, String),
    /// Never answers, with an open connection.
    Silence,
    /// A body without end.
    Endless,
}

/// A key to sign with.
pub struct Key {
    id: Option<&'static str>,
    pair: EcdsaKeyPair,
}

impl Key {
    /// A new key with this ID.
    pub fn new(id: &'static str) -> Self {
        Self { id: Some(id), ..Self::nameless() }
    }

    /// A new key without an ID.
    pub fn nameless() -> Self {
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

impl Issuer {
    /// An issuer with these keys.
    pub async fn of(keys: &[&Key]) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), keys).await
    }

    /// The same at a given address.
    pub async fn at(address: SocketAddr, keys: &[&Key]) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::<Desk>::default();
        let behind = desk.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let desk = behind.clone();
                tokio::spawn(async move { answer(stream, &desk).await });
            }
        });
        let issuer = Self { url: format!("http://{address}"), address, desk, task };
        issuer.publishes(keys);
        issuer.describes_itself_with(&json!({}));
        issuer
    }

    /// Replaces the published keys.
    pub fn publishes(&self, keys: &[&Key]) {
        self.says_of_its_keys(Says::Json(json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()})));
    }

    /// Changes members of the discovery document; `null` removes a member.
    pub fn describes_itself_with(&self, members: &Value) {
        let mut document = json!({"issuer": self.url, "jwks_uri": format!("{}{KEYS}", self.url), "other": [1]});
        for (name, value) in members.as_object().unwrap() {
            if value.is_null() {
                document.as_object_mut().unwrap().remove(name);
            } else {
                document[name] = value.clone();
            }
        }
        self.says_of_itself(Says::Json(document));
    }

    /// Sets the answer to requests for the discovery document.
    pub fn says_of_itself(&self, says: Says) {
        *self.desk.discovery.lock().unwrap() = says;
    }

    /// Sets the answer to requests for the keys.
    pub fn says_of_its_keys(&self, says: Says) {
        *self.desk.keys.lock().unwrap() = says;
    }

    /// Waits until there has been a request.
    pub async fn is_asked(&self) {
        let asked = self.desk.someone_asks.notified();
        if self.desk.asked.lock().unwrap().is_empty() {
            asked.await;
        }
    }

    /// The number of requests for the discovery document and for the keys since the last call.
    pub fn asked(&self) -> [usize; 2] {
        let asked = std::mem::take(&mut *self.desk.asked.lock().unwrap());
        let count = |document| asked.iter().filter(|path| *path == document).count();
        let counts = [count(DISCOVERY), count(KEYS)];
        assert_eq!(counts.iter().sum::<usize>(), asked.len(), "{asked:?}");
        counts
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream, desk: &Desk) {
    // A request fits into one segment.
    let mut request = [0; 4096];
    let length = stream.read(&mut request).await.unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    desk.asked.lock().unwrap().push(path.to_owned());
    desk.someone_asks.notify_waiters();
    let says = if path == DISCOVERY { &desk.discovery } else { &desk.keys }.lock().unwrap().clone();
    let (status, headers, body) = match says {
        Says::HangsUp => return,
        Says::Json(document) => (200, "content-type: application/json\r\n", document.to_string()),
        Says::Answers(status, headers, body) => (status, headers, body),
        Says::Silence => std::future::pending().await,
        Says::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
            while stream.write_all(&[b' '; 4096]).await.is_ok() {}
            return;
        }
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}
