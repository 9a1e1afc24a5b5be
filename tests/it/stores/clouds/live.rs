//! The store contract at a real vault or project (`make clouds-live`). It prints that it is skipped if the
//! environment names none.
//!
//! Azure: `CLAVIGER_LIVE_AZURE_VAULT_URL`, `..._TENANT_ID`, `..._CLIENT_ID` and `..._CLIENT_SECRET_FILE` are the broker's, and
//! `..._TOKEN` writes (`az account get-access-token --resource https://vault.azure.net`). Google: `CLAVIGER_LIVE_GCP_PROJECT` and
//! `..._KEY_FILE` are the broker's, and `..._TOKEN` writes (`gcloud auth print-access-token`). What is written is deleted.

use super::super::contract::{Backend, Subject};
use super::super::{NO_CACHE, StoreRig};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger::config::azure_key_vault::{AzureAuth, AzureKeyVault, ExpiredSecrets};
use claviger::config::gcp_secret_manager::{GcpAuth, GcpSecretManager};
use claviger::config::stores::Kind;
use claviger::config::value_format::ValueFormat;
use claviger::model::request_id::RequestId;
use claviger::stores::SecretNaming;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

/// A vault or a project that a token may write to.
pub(in crate::stores) struct Live {
    naming: SecretNaming,
    /// The path below which secrets are.
    secrets: String,
    token: String,
    http: Client,
    written: Mutex<BTreeSet<String>>,
}

impl Live {
    fn new(naming: SecretNaming, secrets: String, token: String) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        Self { naming, secrets, token, http, written: Mutex::default() }
    }

    async fn call(&self, method: Method, below: &str, body: Option<&Value>) -> (u16, Value) {
        let mut call = self.http.request(method, format!("{}{below}", self.secrets));
        call = call.header("Authorization", format!("Bearer {}", self.token));
        if let Some(body) = body {
            call = call.header("Content-Type", "application/json").body(body.to_string());
        }
        let answer = call.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    /// Writes a version, and waits until it is the newest: at Google that may take a while.
    pub(in crate::stores) async fn put(&self, path: &str, secret: &str) {
        let name = self.naming.secret_name(path).unwrap();
        self.written.lock().unwrap().insert(name.clone());
        if self.naming == SecretNaming::AzureKeyVault {
            let body = json!({"value": secret});
            let (status, _) = self.call(Method::PUT, &format!("{name}?api-version=2025-07-01"), Some(&body)).await;
            assert_eq!(status, 200);
            return;
        }
        let replication = json!({"replication": {"automatic": {}}});
        self.call(Method::POST, &format!("?secretId={name}"), Some(&replication)).await;
        let body = json!({"payload": {"data": STANDARD.encode(secret)}});
        let (status, version) = self.call(Method::POST, &format!("/{name}:addVersion"), Some(&body)).await;
        assert_eq!(status, 200);
        for _ in 0..300 {
            let (_, newest) = self.call(Method::GET, &format!("/{name}/versions/latest"), None).await;
            if newest["name"] == version["name"] {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("the new version is not the newest after five minutes");
    }

    async fn delete_all(&self) {
        let written = std::mem::take(&mut *self.written.lock().unwrap());
        for name in written {
            let (prefix, query) =
                if self.naming == SecretNaming::AzureKeyVault { ("", "?api-version=2025-07-01") } else { ("/", "") };
            self.call(Method::DELETE, &format!("{prefix}{name}{query}"), None).await;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a real account is named by the environment")]
fn variables<const N: usize>(names: [&str; N]) -> Option<[String; N]> {
    let found: Vec<_> =
        names.iter().filter_map(|name| std::env::var(name).ok().filter(|text| !text.is_empty())).collect();
    if let Ok(found) = found.try_into() {
        return Some(found);
    }
    println!("skipped: {} are not all set", names.join(", "));
    None
}

async fn assert_contract(rig: StoreRig, live: Live) {
    let below = format!("claviger-live-{}", &RequestId::random().as_str()[..8]);
    let subject = Subject { rig, backend: Backend::Live(live), below, versioned: true, digits: true };
    subject.check_contract().await;
    if let Backend::Live(live) = &subject.backend {
        live.delete_all().await;
    }
}

#[tokio::test]
async fn the_vault_named_in_the_environment_meets_the_contract() {
    let names = ["VAULT_URL", "TENANT_ID", "CLIENT_ID", "CLIENT_SECRET_FILE", "TOKEN"];
    let names = names.map(|name| format!("CLAVIGER_LIVE_AZURE_{name}"));
    let Some([vault_url, tenant_id, client_id, file, token]) = variables(names.each_ref().map(String::as_str)) else {
        return;
    };
    let live = Live::new(SecretNaming::AzureKeyVault, format!("{vault_url}/secrets/"), token);
    let auth = AzureAuth::ClientSecret { tenant_id, client_id, client_secret_file: file.into() };
    let config = AzureKeyVault {
        vault_url,
        authority_url: "https://login.microsoftonline.com".into(),
        scope: "https://vault.azure.net/.default".into(),
        ca_file: None,
        proxy_url: None,
        auth,
        values: ValueFormat::Object,
        expired: ExpiredSecrets::Refuse,
        timeout: Duration::from_secs(10),
        cache: NO_CACHE,
    };
    assert_contract(StoreRig::of("azure", tempfile::tempdir().unwrap(), Kind::AzureKeyVault(config)), live).await;
}

#[tokio::test]
async fn the_project_named_in_the_environment_meets_the_contract() {
    let names = ["PROJECT", "KEY_FILE", "TOKEN"].map(|name| format!("CLAVIGER_LIVE_GCP_{name}"));
    let Some([project, file, token]) = variables(names.each_ref().map(String::as_str)) else { return };
    let endpoint_url = "https://secretmanager.googleapis.com".to_owned();
    let live =
        Live::new(SecretNaming::GcpSecretManager, format!("{endpoint_url}/v1/projects/{project}/secrets"), token);
    let config = GcpSecretManager {
        project,
        location: None,
        endpoint_url,
        ca_file: None,
        proxy_url: None,
        auth: GcpAuth::ServiceAccountKeyFile(file.into()),
        values: ValueFormat::Object,
        timeout: Duration::from_secs(10),
        cache: NO_CACHE,
    };
    assert_contract(StoreRig::of("gcp", tempfile::tempdir().unwrap(), Kind::GcpSecretManager(config)), live).await;
}
