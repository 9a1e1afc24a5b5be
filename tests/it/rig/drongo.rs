//! drongo, an emulator of Google Secret Manager: its secrets are in memory, and lost when it is dropped. It checks no token.

use super::clouds::google::PROJECT;
use super::installed::program;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Long, because Python starts slowly on a busy machine.
const UP_WITHIN: Duration = Duration::from_mins(1);
/// Maximum number of start attempts: another test may take a free port before the server binds it.
const START_ATTEMPTS: usize = 5;

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
        for _ in 0..START_ATTEMPTS {
            let mut drongo = Self::spawn();
            if drongo.wait_until_up().await {
                return drongo;
            }
        }
        panic!("drongo did not start on {START_ATTEMPTS} different ports");
    }

    /// Adds a version, and creates the secret if there is none. Returns the version.
    pub async fn put(&self, name: &str, data: &[u8]) -> String {
        let secrets = format!("{}/v1/projects/{PROJECT}/secrets", self.address);
        let replication = json!({"replication": {"automatic": {}}});
        // For the second version the secret exists already.
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
        let child = Command::new(program("drongo"))
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

    /// Whether it answers. False if it exits, for instance because its port is in use.
    async fn wait_until_up(&mut self) -> bool {
        let deadline = Instant::now() + UP_WITHIN;
        // No other server that may have taken the port has this path.
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
