//! The Rust client `vaultrs`: it requires every field of an answer, and its errors contain answers that it cannot parse.

use super::server_with;
use crate::rig::oidc::TestServer;
use crate::rig::vault_client::CertificateAuthority;
use claviger::model::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use std::collections::HashMap;
use vaultrs::auth::kubernetes::login;
use vaultrs::client::{Client as _, VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;
use vaultrs::kv2;

/// A client of the server, with this token.
fn client(server: &TestServer, authority: &CertificateAuthority, token: &str) -> VaultClient {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let settings = VaultClientSettingsBuilder::default()
        .address(format!("https://{}", server.api))
        .token(token)
        .ca_certs(vec![authority.path("ca.pem").display().to_string()])
        .build();
    VaultClient::new(settings.unwrap()).unwrap()
}

fn setup(mut config: Value) -> (TestServer, CertificateAuthority) {
    let authority = CertificateAuthority::new();
    config["server"] = authority.server_section();
    (server_with(&config), authority)
}

/// Checks the error of the API, and that no rendering of it contains a secret.
#[track_caller]
fn assert_refused<T>(answer: Result<T, ClientError>, status: u16, begins: &str) {
    let error = answer.err().unwrap();
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    let ClientError::APIError { code, errors } = error else { panic!("{error:?}") };
    assert_eq!(code, status, "{errors:?}");
    match &errors[..] {
        [] => assert_eq!((status, begins), (404, "")),
        [text] => assert!(text.starts_with(begins), "{text}"),
        _ => panic!("{errors:?}"),
    }
}

async fn read(client: &VaultClient, path: &str) -> Result<HashMap<String, String>, ClientError> {
    kv2::read(client, "claviger", path).await
}

#[tokio::test]
async fn vaultrs_logs_in_reads_and_returns_the_error() {
    let (server, authority) = setup(json!({}));
    let token = server.issuer.token(&json!({}));
    let mut client_of = client(&server, &authority, "");
    let auth = login(&client_of, "kubernetes", "ci", &token).await.unwrap();
    assert_eq!((auth.client_token.as_str(), auth.renewable), (token.as_str(), false));
    client_of.set_token(&auth.client_token);
    let bundle = read(&client_of, "site/main").await.unwrap();
    assert_eq!(
        (bundle["TOKEN"].as_str(), bundle["NUMBER"].as_str(), bundle["LINES"].as_str()),
        ("s3cret", "12", "a\nb\n")
    );
    for (path, value) in [("apps~site/feature~x=402", "odd"), ("a=7Eb/main", "tilde"), ("a=20b/100=25", "percent")] {
        assert_eq!(read(&client_of, path).await.unwrap()["TOKEN"], value, "{path}");
    }
    assert_eq!(client_of.lookup().await.unwrap().policies, ["default"]);
    assert!(matches!(client_of.status().await.unwrap(), vaultrs::sys::ServerStatus::OK));
    assert!(client_of.revoke().await.is_ok());
    assert_refused(client_of.renew(None).await, 400, "batch tokens cannot be renewed");

    assert_refused(read(&client_of, "empty/main").await, 404, "");
    assert_refused(read(&client_of, "other/main").await, 403, "denied: ");
    assert_refused(read(&client_of, "apps/site/feature/x").await, 400, "");
    assert_refused(kv2::set(&client_of, "claviger", "site/main", &json!({"K": "s3cret-new"})).await, 403, "");
    assert_refused(read(&client(&server, &authority, "garbage"), "site/main").await, 403, "unauthenticated: ");
    assert_refused(login(&client_of, "kubernetes", "ci", "garbage").await, 403, "unauthenticated: ");
    let short = server.issuer.token(&json!({"exp": SystemClock.now().as_second() + 20}));
    assert_refused(login(&client_of, "kubernetes", "ci", &short).await, 403, "unauthenticated: ");
}

#[tokio::test]
async fn vaultrs_returns_that_a_store_is_down() {
    let (server, authority) = setup(json!({
        "stores": [{"name": "local", "vault": {"address": "http://127.0.0.1:9", "auth": {"tokenFile": "/dev/null"}}}],
    }));
    let token = server.issuer.token(&json!({}));
    assert_refused(read(&client(&server, &authority, &token), "site/main").await, 503, "store_unavailable: ");
}
