//! moto's server in the role of AWS Secrets Manager, IAM and STS: it checks signatures and the actions that a
//! policy allows, but not the resources. Its data is lost when it is dropped.

use super::installed::program;
use claviger::model::request_id::RequestId;
use reqwest::Client;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The region of every call.
pub const REGION: &str = "eu-central-1";
/// Long, because Python starts slowly on a busy machine.
const UP_WITHIN: Duration = Duration::from_mins(1);
/// Maximum number of start attempts: another test may take a free port before the server binds it.
const START_ATTEMPTS: usize = 5;
const ALL_SECRETS: &str = "secretsmanager:*";

/// A running server.
pub struct Moto {
    child: Child,
    /// `http://127.0.0.1:P`, for all services.
    pub address: String,
    http: Client,
}

/// An access key.
pub struct Keys {
    pub id: String,
    pub secret: String,
}

impl Keys {
    /// Writes both into files, `access-key-id` and `secret-access-key`.
    pub fn write_into(&self, folder: &Path) {
        fs::write(folder.join("access-key-id"), format!("{}\n", self.id)).unwrap();
        fs::write(folder.join("secret-access-key"), format!("{}\n", self.secret)).unwrap();
    }
}

impl Moto {
    /// Starts a server that requires signatures.
    pub async fn start() -> Self {
        for _ in 0..START_ATTEMPTS {
            let mut moto = Self::spawn();
            if moto.wait_until_up().await {
                return moto;
            }
        }
        panic!("moto did not start on {START_ATTEMPTS} different ports");
    }

    /// Kills the server by process ID. Its storage is lost.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// A new user with all permissions on secrets, and its access key.
    pub async fn user(&self, name: &str) -> Keys {
        self.iam("CreateUser", &[("UserName", name)]).await;
        self.allow(name, ALL_SECRETS).await;
        self.create_access_key(name).await
    }

    /// Another access key of a user.
    pub async fn create_access_key(&self, name: &str) -> Keys {
        let answer = self.iam("CreateAccessKey", &[("UserName", name)]).await;
        Keys { id: element(&answer, "AccessKeyId"), secret: element(&answer, "SecretAccessKey") }
    }

    /// Deletes an access key.
    pub async fn delete_key(&self, name: &str, keys: &Keys) {
        self.iam("DeleteAccessKey", &[("UserName", name), ("AccessKeyId", &keys.id)]).await;
    }

    /// Limits a user to one action.
    pub async fn allow(&self, user: &str, action: &str) {
        let policy = policy(action);
        self.iam("PutUserPolicy", &[("UserName", user), ("PolicyName", "p"), ("PolicyDocument", &policy)]).await;
    }

    /// A new role whose sessions may perform one action; returns its ARN.
    pub async fn role(&self, name: &str, action: &str) -> String {
        let trust = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/cluster"},
             "Action": "sts:AssumeRoleWithWebIdentity"},
        ]});
        let answer =
            self.iam("CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", &trust.to_string())]).await;
        let policy = policy(action);
        self.iam("PutRolePolicy", &[("RoleName", name), ("PolicyName", "p"), ("PolicyDocument", &policy)]).await;
        element(&answer, "Arn")
    }

    /// A session of a role: access key id, secret access key and session token.
    pub async fn session(&self, role_arn: &str) -> [String; 3] {
        let form = format!(
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={role_arn}&RoleSessionName=test&WebIdentityToken={}",
            web_identity_token()
        );
        let call = self.http.post(&self.address).header("Content-Type", "application/x-www-form-urlencoded").body(form);
        self.allow_unsigned_calls(1).await;
        let answer = call.send().await.unwrap();
        let xml = String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap();
        ["AccessKeyId", "SecretAccessKey", "SessionToken"].map(|name| element(&xml, name))
    }

    /// Accepts this number of calls without a signature, as STS does for calls with a web identity token.
    pub async fn allow_unsigned_calls(&self, calls: usize) {
        let reset = self.http.post(format!("{}/moto-api/reset-auth", self.address));
        let reset = reset.header("Content-Type", "application/octet-stream").body(calls.to_string());
        assert_eq!(reset.send().await.unwrap().status(), 200);
    }

    /// Writes a secret or a new version of it; returns the version.
    pub async fn put(&self, name: &str, text: &str) -> String {
        let (status, _) = self.secrets("DescribeSecret", &json!({"SecretId": name})).await;
        let (operation, id) = if status == 200 { ("PutSecretValue", "SecretId") } else { ("CreateSecret", "Name") };
        let answer = self.call_successfully(operation, &json!({id: name, "SecretString": text})).await;
        answer["VersionId"].as_str().unwrap().to_owned()
    }

    /// Writes a new binary secret.
    pub async fn put_binary(&self, name: &str) {
        self.call_successfully("CreateSecret", &json!({"Name": name, "SecretBinary": "AAEC"})).await;
    }

    /// Creates a secret without a value.
    pub async fn put_without_value(&self, name: &str) {
        self.call_successfully("CreateSecret", &json!({"Name": name})).await;
    }

    /// Marks a secret for deletion.
    pub async fn delete(&self, name: &str) {
        self.call_successfully("DeleteSecret", &json!({"SecretId": name})).await;
    }

    async fn call_successfully(&self, operation: &str, body: &Value) -> Value {
        let (status, answer) = self.secrets(operation, body).await;
        assert_eq!(status, 200, "{operation}: {answer}");
        answer
    }

    async fn secrets(&self, operation: &str, body: &Value) -> (u16, Value) {
        let call = self.http.post(&self.address).header("X-Amz-Target", format!("secretsmanager.{operation}"));
        let call = call.header("Content-Type", "application/x-amz-json-1.1").body(body.to_string());
        let (status, text) = self.unsigned("secretsmanager", call).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn iam(&self, action: &str, fields: &[(&str, &str)]) -> String {
        let encode =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("&{name}={}", encode(value))).collect();
        let form = format!("Action={action}&Version=2010-05-08{}", fields.concat());
        let call = self.http.post(&self.address).header("Content-Type", "application/x-www-form-urlencoded").body(form);
        let (status, text) = self.unsigned("iam", call).await;
        assert_eq!(status, 200, "{action}: {text}");
        text
    }

    /// Makes an unsigned call as the owner of the server; the header only names the service.
    async fn unsigned(&self, service: &str, call: reqwest::RequestBuilder) -> (u16, String) {
        self.allow_unsigned_calls(1).await;
        let scope = format!("AKIAXXXXXXXXXXXXXXXX/20260101/{REGION}/{service}/aws4_request");
        let header = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none");
        let answer = call.header("Authorization", header).send().await.unwrap();
        (answer.status().as_u16(), String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap())
    }

    fn spawn() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env_clear()
            .env("INITIAL_NO_AUTH_ACTION_COUNT", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto_server can be run");
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(30)).tls_certs_only([]).build().unwrap();
        Self { child, address: format!("http://127.0.0.1:{port}"), http }
    }

    /// Whether it answers. False if it exits, for instance because its port is in use.
    async fn wait_until_up(&mut self) -> bool {
        let deadline = Instant::now() + UP_WITHIN;
        // No other server that may have taken the port has this path.
        let health = format!("{}/moto-api/data.json", self.address);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            if self.http.get(&health).send().await.is_ok_and(|answer| answer.status() == 200) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A token like a projected one; moto accepts any.
pub fn web_identity_token() -> String {
    format!("header.{}.signature", RequestId::random())
}

/// Writes such a token into a folder, as `web-identity-token`; returns the path.
pub fn write_web_identity_token(folder: &TempDir) -> PathBuf {
    let file = folder.path().join("web-identity-token");
    fs::write(&file, web_identity_token()).unwrap();
    file
}

fn policy(action: &str) -> String {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}).to_string()
}

/// The text of the first element with this name.
fn element(xml: &str, name: &str) -> String {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {xml}"));
    rest[..rest.find('<').unwrap()].to_owned()
}
