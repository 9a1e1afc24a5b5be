//! A real OpenBao in development mode: unsealed, in memory, one root token, stopped when dropped.

mod database;
mod durable;

use super::installed::program;
use claviger::model::request_id::RequestId;
use reqwest::{Certificate, Client, Method};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Time limit for the start of a server.
const UP_WITHIN: Duration = Duration::from_secs(30);
/// Maximum number of start attempts: another test may take a free port before the server binds it.
const START_ATTEMPTS: usize = 5;

/// A running server.
pub struct Bao {
    child: Child,
    /// `http://127.0.0.1:P`, or `https://...`.
    pub address: String,
    /// The root token. Each server has its own, so that no test can use the server of another.
    pub root: String,
    /// Home of the server; with TLS also its CA.
    dir: TempDir,
    http: Client,
}

impl Bao {
    /// Starts a server with a KV v2 mount named `homelab`.
    pub async fn start() -> Self {
        let bao = Self::launch(false, None).await;
        bao.enable_kv_v2("homelab").await;
        bao
    }

    /// Starts a server with a second listener, given as in its configuration.
    pub async fn start_with_listener(listener: &Value) -> Self {
        let bao = Self::launch(false, Some(listener)).await;
        bao.enable_kv_v2("homelab").await;
        bao
    }

    /// Starts a server with TLS and its own CA.
    pub async fn start_tls() -> Self {
        let bao = Self::launch(true, None).await;
        bao.enable_kv_v2("homelab").await;
        bao
    }

    /// The PEM file of the CA of a server with TLS.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("vault-ca.pem")
    }

    /// Writes a secret; the values are JSON strings.
    pub async fn put(&self, path: &str, values: &[(&str, &str)]) {
        let values: Value = values.iter().map(|(key, value)| (key.to_string(), json!(value))).collect();
        self.put_json(path, &values.to_string()).await;
    }

    /// Writes a secret given as JSON text.
    pub async fn put_json(&self, path: &str, values: &str) {
        let (mount, rest, versioned) = self.mount_of(path).await;
        if versioned {
            self.ok(Method::POST, &format!("{mount}data/{rest}"), &format!("{{\"data\":{values}}}")).await;
        } else {
            self.ok(Method::POST, &format!("{mount}{rest}"), values).await;
        }
    }

    /// Deletes the newest version of a secret, or in KV v1 the secret.
    pub async fn delete(&self, path: &str) {
        let (mount, rest, versioned) = self.mount_of(path).await;
        let infix = if versioned { "data/" } else { "" };
        self.ok(Method::DELETE, &format!("{mount}{infix}{rest}"), "").await;
    }

    /// Destroys the first version of a KV v2 secret.
    pub async fn destroy(&self, path: &str) {
        let (mount, rest, _) = self.mount_of(path).await;
        self.ok(Method::PUT, &format!("{mount}destroy/{rest}"), r#"{"versions":[1]}"#).await;
    }

    /// Mounts a KV v2 engine.
    pub async fn enable_kv_v2(&self, mount: &str) {
        self.enable(mount, r#"{"type":"kv","options":{"version":"2"}}"#).await;
        // For a moment it answers that the mount is being upgraded.
        let config = format!("{mount}/config");
        until("the KV v2 mount to be ready", async || self.call(Method::GET, &config, "").await.0 == 200).await;
    }

    /// Mounts a KV v1 engine.
    pub async fn enable_kv_v1(&self, mount: &str) {
        self.enable(mount, r#"{"type":"kv","options":{"version":"1"}}"#).await;
    }

    /// Mounts any engine.
    pub async fn enable(&self, mount: &str, body: &str) {
        self.ok(Method::POST, &format!("sys/mounts/{mount}"), body).await;
    }

    /// Unmounts an engine.
    pub async fn disable(&self, mount: &str) {
        self.ok(Method::DELETE, &format!("sys/mounts/{mount}"), "").await;
    }

    /// Writes a policy.
    pub async fn policy(&self, name: &str, hcl: &str) {
        self.ok(Method::PUT, &format!("sys/policies/acl/{name}"), &json!({ "policy": hcl }).to_string()).await;
    }

    /// Creates a token with policies and a time to live (`30s`).
    pub async fn token(&self, policies: &[&str], ttl: &str) -> String {
        let body = json!({"policies": policies, "ttl": ttl, "renewable": true}).to_string();
        let answer = self.ok(Method::POST, "auth/token/create", &body).await;
        answer["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    /// The issuer of its identity tokens.
    pub fn issuer(&self) -> String {
        format!("{}/v1/identity/oidc", self.address)
    }

    /// An identity token for a user `builder`: a JWT that the server signs as an OIDC issuer.
    pub async fn identity_token(&self, audience: &str) -> String {
        let key = json!({"algorithm": "ES256", "allowed_client_ids": "*"}).to_string();
        self.ok(Method::POST, "identity/oidc/key/build", &key).await;
        let role = json!({"key": "build", "client_id": audience, "ttl": "10m"}).to_string();
        self.ok(Method::POST, "identity/oidc/role/build", &role).await;
        self.policy("build", r#"path "identity/oidc/token/build" { capabilities = ["read"] }"#).await;
        if self.call(Method::GET, "sys/auth/userpass/tune", "").await.0 != 200 {
            self.ok(Method::POST, "sys/auth/userpass", r#"{"type":"userpass"}"#).await;
        }
        let user = json!({"password": self.root, "token_policies": ["build"]}).to_string();
        self.ok(Method::POST, "auth/userpass/users/builder", &user).await;
        let password = json!({"password": self.root}).to_string();
        let login = self.ok(Method::POST, "auth/userpass/login/builder", &password).await;
        let url = format!("{}/v1/identity/oidc/token/build", self.address);
        let builder = login["auth"]["client_token"].as_str().unwrap();
        let answer = self.http.get(url).header("X-Vault-Token", builder).send().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        answer["data"]["token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Rotates the key that signs identity tokens.
    pub async fn rotate_identity_key(&self) {
        self.ok(Method::POST, "identity/oidc/key/build/rotate", r#"{"verification_ttl":"1h"}"#).await;
    }

    /// Revokes a token.
    pub async fn revoke(&self, token: &str) {
        self.ok(Method::POST, "auth/token/revoke", &json!({ "token": token }).to_string()).await;
    }

    /// Creates an `AppRole` whose tokens have these policies and time to live; returns its role ID and a secret
    /// ID.
    pub async fn app_role(&self, name: &str, policies: &[&str], ttl: &str) -> (String, String) {
        if self.call(Method::GET, "sys/auth/approle/tune", "").await.0 != 200 {
            self.ok(Method::POST, "sys/auth/approle", r#"{"type":"approle"}"#).await;
        }
        let role = format!("auth/approle/role/{name}");
        self.ok(Method::POST, &role, &json!({"token_policies": policies, "token_ttl": ttl}).to_string()).await;
        let role_id = self.ok(Method::GET, &format!("{role}/role-id"), "").await;
        let secret_id = self.ok(Method::POST, &format!("{role}/secret-id"), "").await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&role_id["data"]["role_id"]), text(&secret_id["data"]["secret_id"]))
    }

    /// Limits the tokens of an `AppRole` to this number of uses.
    pub async fn limit_uses(&self, name: &str, policies: &[&str], uses: u32) {
        let role = json!({"token_policies": policies, "token_ttl": "1h", "token_num_uses": uses});
        self.ok(Method::POST, &format!("auth/approle/role/{name}"), &role.to_string()).await;
    }

    /// Limits the requests below a mount to this rate per second.
    pub async fn limit_rate(&self, mount: &str, rate: u32) {
        let quota = json!({"path": mount, "rate": rate}).to_string();
        self.ok(Method::POST, &format!("sys/quotas/rate-limit/{mount}"), &quota).await;
    }

    /// Enables logins of a cluster's workloads: tokens are reviewed by its API server, with the given reviewer
    /// token.
    pub async fn enable_kubernetes_auth(&self, host: &str, ca: &str, reviewer: &str) {
        self.ok(Method::POST, "sys/auth/kubernetes", r#"{"type":"kubernetes"}"#).await;
        let config = json!({
            "kubernetes_host": host, "kubernetes_ca_cert": ca, "token_reviewer_jwt": reviewer, "disable_local_ca_jwt": true,
        });
        self.ok(Method::POST, "auth/kubernetes/config", &config.to_string()).await;
    }

    /// Creates a role for one ServiceAccount, with tokens for the audience `openbao`.
    pub async fn kubernetes_role(&self, name: &str, [namespace, service_account]: [&str; 2], policies: &[&str]) {
        let role = json!({
            "bound_service_account_namespaces": [namespace], "bound_service_account_names": [service_account],
            "audience": "openbao", "token_policies": policies, "token_ttl": "1h",
        });
        self.ok(Method::POST, &format!("auth/kubernetes/role/{name}"), &role.to_string()).await;
    }

    /// All token accessors.
    pub async fn accessors(&self) -> Vec<String> {
        let list = Method::from_bytes(b"LIST").unwrap();
        let answer = self.ok(list, "auth/token/accessors", "").await;
        let keys = answer["data"]["keys"].as_array().unwrap();
        keys.iter().map(|key| key.as_str().unwrap().to_owned()).collect()
    }

    /// The server's data about a token; `None` if the token has ended.
    pub async fn look_up(&self, token: &str) -> Option<Value> {
        let body = json!({ "token": token }).to_string();
        let (status, answer) = self.call(Method::POST, "auth/token/lookup", &body).await;
        (status == 200).then(|| answer["data"].clone())
    }

    /// Seals the server.
    pub async fn seal(&self) {
        self.ok(Method::PUT, "sys/seal", "").await;
    }

    /// The process id.
    #[allow(dead_code, reason = "the load test counts its time")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the server by process ID. In development mode its storage is lost.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Calls the server as root, in its root namespace.
    pub async fn call(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        self.try_call(method, path, body).await.expect("OpenBao answers")
    }

    async fn ok(&self, method: Method, path: &str, body: &str) -> Value {
        let (status, answer) = self.call(method.clone(), path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    async fn try_call(&self, method: Method, path: &str, body: &str) -> Result<(u16, Value), reqwest::Error> {
        let url = format!("{}/v1/{path}", self.address);
        let request = self.http.request(method, url).header("X-Vault-Token", &self.root).body(body.to_owned());
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, serde_json::from_slice(&response.bytes().await?).unwrap_or(Value::Null)))
    }

    async fn mount_of(&self, path: &str) -> (String, String, bool) {
        let found = self.ok(Method::GET, &format!("sys/internal/ui/mounts/{path}"), "").await;
        let mount = found["data"]["path"].as_str().unwrap().to_owned();
        let rest = path.strip_prefix(&mount).expect("a path under its mount").to_owned();
        (mount, rest, found["data"]["options"]["version"] == "2")
    }

    async fn launch(tls: bool, listener: Option<&Value>) -> Self {
        for _ in 0..START_ATTEMPTS {
            let mut bao = Self::spawn(tls, listener);
            if bao.is_up().await {
                return bao;
            }
        }
        panic!("OpenBao did not start on {START_ATTEMPTS} different ports");
    }

    fn spawn(tls: bool, listener: Option<&Value>) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (dir, port) = (tempfile::tempdir().unwrap(), free_ports());
        let root = RequestId::random().to_string();
        let mut command = command_without_environment(dir.path());
        command
            .args(["server", if tls { "-dev-tls" } else { "-dev" }, "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={root}"))
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        if tls {
            command.arg(format!("-dev-tls-cert-dir={}", dir.path().display()));
        }
        if let Some(listener) = listener {
            let file = dir.path().join("listener.json");
            std::fs::write(&file, json!({"listener": {"tcp": listener}}).to_string()).unwrap();
            command.arg(format!("-config={}", file.display()));
        }
        let child = command.spawn().expect("bao can be run");
        let scheme = if tls { "https" } else { "http" };
        let http = client(&[]);
        Self { child, address: format!("{scheme}://127.0.0.1:{port}"), root, dir, http }
    }

    async fn is_up(&mut self) -> bool {
        self.wait_until_up(async |bao| {
            if bao.address.starts_with("https")
                && let Ok(pem) = std::fs::read(bao.ca_file())
                && let Ok(roots) = Certificate::from_pem_bundle(&pem)
            {
                bao.http = client(&roots);
            }
            matches!(bao.try_call(Method::GET, "auth/token/lookup-self", "").await, Ok((200, _)))
        })
        .await
    }

    /// Whether it starts. False if it exits, for instance because its port is in use.
    async fn wait_until_up(&mut self, mut is_up: impl AsyncFnMut(&mut Self) -> bool) -> bool {
        let deadline = Instant::now() + UP_WITHIN;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            if is_up(self).await {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Polls until something has happened; fails after some seconds.
pub async fn until(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !happened().await {
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs `bao` without environment variables, because variables such as `BAO_ADDR` change its behaviour.
fn command_without_environment(home: &Path) -> Command {
    let mut command = Command::new(program("bao"));
    command.env_clear().env("HOME", home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn client(roots: &[Certificate]) -> Client {
    let builder = Client::builder().no_proxy().timeout(Duration::from_secs(10)).tls_certs_only(roots.iter().cloned());
    builder.build().unwrap()
}

/// A free even port whose successor is free too: OpenBao uses both. It is below the kernel's range of ephemeral
/// ports, so that no other process gets it before it is bound.
fn free_ports() -> u16 {
    for _ in 0..100 {
        let digits = RequestId::random().to_string();
        let random = u16::from_str_radix(&digits[..4], 16).unwrap();
        let port = 20_000 + random % 6_000 * 2;
        if (port..port + 2).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return port;
        }
    }
    panic!("no two free ports in a row");
}
