//! drongo's server, which plays Google Cloud: its secrets are in memory, and gone when it is dropped. It checks no token.

use super::clouds::google::PROJECT;
use super::prometheus::binary;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Python takes its time when the machine is busy.
const UP_WITHIN: Duration = Duration::from_mins(1);
/// How often a start is tried: a port that was free may be taken before the server listens on it.
const STARTS: usize = 5;

/// A running server.
pub struct Drongo {
    child: Child,
    /// `http://127.0.0.1:P`.
    pub address: String,
    http: Client,
}

impl Drongo {
    /// Starts one.
    pub async fn start() -> Self {
        for _ in 0..STARTS {
            let mut drongo = Self::spawn();
            if drongo.comes_up().await {
                return drongo;
            }
        }
        panic!("drongo did not start on {STARTS} different ports");
    }

    /// Adds a version, and makes the secret if there is none; the version.
    pub async fn put(&self, name: &str, data: &[u8]) -> String {
        let secrets = format!("{}/v1/projects/{PROJECT}/secrets", self.address);
        let replication = json!({"replication": {"automatic": {}}});
        // It is there already at the second version.
        self.post(&format!("{secrets}?secretId={name}"), &replication).await;
        let payload = json!({"payload": {"data": STANDARD.encode(data)}});
        let (status, answer) = self.post(&format!("{secrets}/{name}:addVersion"), &payload).await;
        assert_eq!(status, 200, "{answer}");
        answer["name"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }

    async fn post(&self, url: &str, body: &Value) -> (u16, Value) {
        let call = self.http.post(url).header("Content-Type", "application/json").body(body.to_string());
        let answer = call.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    fn spawn() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(binary("drongo"))
            .args(["server", "--host", "127.0.0.1", "--port", &port.to_string()])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("drongo can be run");
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(30)).tls_certs_only([]).build().unwrap();
        Self { child, address: format!("http://127.0.0.1:{port}"), http }
    }

    /// Whether it comes to answering; not if it exits, as it does when its port is taken.
    async fn comes_up(&mut self) -> bool {
        let deadline = Instant::now() + UP_WITHIN;
        // No other server has such a path.
        let reset = format!("{}/drongo/reset", self.address);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            if self.http.post(&reset).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }
}

impl Drop for Drongo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
