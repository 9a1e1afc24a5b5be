//! Key Vault: logins, names, and the class of each answer of the vault and of Entra ID.

use super::super::{NO_CACHE, StoreRig, single_value};
use super::{MINUTE, TOKEN, azure, azure_as, token_file};
use crate::rig::bao::until;
use crate::rig::clouds::azure::{
    Azure, CLIENT, TENANT, answer, disabled, error, forbidden, not_found, refused_login, throttled, unauthorized,
};
use crate::rig::fake::{Reaction, status};
use claviger::config::azure_key_vault::{AzureAuth, ExpiredSecrets};
use claviger::config::value_format::ValueFormat;
use claviger::stores::OnlineError;
use claviger::stores::ReadError::{self, Absent, Deleted, Forbidden, Misconfigured, Unavailable};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test]
async fn one_token_exchange_serves_several_reads() {
    let stub = Azure::start(TOKEN).await;
    let version = stub.put("homelab--site--main", r#"{"K":"v"}"#);
    let rig = Arc::new(azure(&stub, NO_CACHE, |_| {}));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let rig = rig.clone();
        readers.spawn(async move { rig.read("homelab/site/main").await });
    }
    assert!(readers.join_all().await.iter().all(|read| *read == single_value("K", "v")));
    assert_eq!(rig.lease("homelab/site/main").await.unwrap().version, Some(version));
    assert_eq!(rig.read("homelab/site/other").await, Err(Absent));
    assert_eq!((stub.state().logins, rig.calls("login", "ok")), (1, 1));
    assert_eq!(rig.stores.check_online().await, [("azure".into(), Ok(()))]);
    assert!(
        stub.state().user_agents.iter().all(|agent| agent.starts_with("claviger-")),
        "{:?}",
        stub.state().user_agents
    );
}

#[tokio::test]
async fn branches_that_differ_in_case_have_different_secrets() {
    let stub = Azure::start(TOKEN).await;
    stub.put("homelab--site--main", r#"{"K":"lower"}"#);
    let rig = azure(&stub, NO_CACHE, |_| {});
    assert_eq!(rig.read("homelab/site/main").await, single_value("K", "lower"));
    for path in ["homelab/site/Main", "Homelab/site/main", "homelab/site-/main", "homelab-/site/main"] {
        assert_eq!(rig.read(path).await, Err(Absent), "{path}");
    }
    stub.put("homelab--site-----4dain", r#"{"K":"upper"}"#);
    stub.put("homelab--site--feature---7ex", r#"{"K":"slash"}"#);
    assert_eq!(rig.read("homelab/site/Main").await, single_value("K", "upper"));
    assert_eq!(rig.read("homelab/site/feature~x").await, single_value("K", "slash"));
    let long = format!("homelab/{}", "a".repeat(120));
    assert_eq!(rig.read(&long).await, Err(Misconfigured), "a name of 129 characters is not truncated");
    assert_eq!(rig.read(&long[..126]).await, Err(Absent), "a name of 127 characters is read");
}

#[tokio::test]
async fn expired_secrets_follow_the_setting_and_disabled_ones_are_deleted() {
    let stub = Azure::start(TOKEN).await;
    for name in ["good", "past", "early", "off"] {
        stub.put(&format!("homelab--{name}"), r#"{"K":"v"}"#);
    }
    stub.set("homelab--good", "exp", json!(4_000_000_000_u64));
    stub.set("homelab--past", "exp", json!(1_500_000_000));
    stub.set("homelab--early", "nbf", json!(4_000_000_000_u64));
    stub.set("homelab--off", "enabled", json!(false));
    let refusing = azure(&stub, NO_CACHE, |_| {});
    let serving = azure(&stub, NO_CACHE, |config| config.expired = ExpiredSecrets::Serve);
    for (path, refused, served) in [
        ("homelab/good", single_value("K", "v"), single_value("K", "v")),
        ("homelab/past", Err(Deleted), single_value("K", "v")),
        ("homelab/early", Err(Deleted), single_value("K", "v")),
        ("homelab/off", Err(Deleted), Err(Deleted)),
    ] {
        assert_eq!(refusing.read(path).await, refused, "{path}");
        assert_eq!(serving.read(path).await, served, "{path}");
    }
}

#[tokio::test]
async fn with_text_values_the_secret_is_one_value() {
    let stub = Azure::start(TOKEN).await;
    stub.put("shared--npm-token", "hunter2");
    stub.put("shared--signing", "-----BEGIN PRIVATE KEY-----");
    stub.set_content_type("shared--signing", "application/x-pem-file");
    let objects = azure(&stub, NO_CACHE, |_| {});
    let texts = azure(&stub, NO_CACHE, |config| config.values = ValueFormat::Text);
    assert_eq!(texts.read("shared/npm-token").await, single_value("npm-token", "hunter2"));
    assert_eq!(texts.read("shared/signing").await, single_value("signing", "-----BEGIN PRIVATE KEY-----"));
    for path in ["shared/npm-token", "shared/signing"] {
        assert_eq!(objects.read(path).await, Err(Misconfigured), "{path}");
    }
}

/// Each documented answer, with the result of a read and of `check --online`.
fn rows() -> Vec<(&'static str, Reaction, ReadError, Result<(), OnlineError>)> {
    let ok = Ok(());
    vec![
        ("absent", not_found("x"), Absent, ok),
        (
            "another 404",
            error("404 Not Found", "", "ResourceNotFound", None),
            Misconfigured,
            Err(OnlineError::Misconfigured),
        ),
        (
            "a page",
            Reaction::Answer("404 Not Found".into(), "Content-Type: text/html\r\n".into(), "<html>".into()),
            Misconfigured,
            Err(OnlineError::Misconfigured),
        ),
        ("disabled", disabled(), Deleted, ok),
        ("no right", forbidden(), Forbidden, ok),
        ("unknown token", unauthorized(), Forbidden, Err(OnlineError::Refused)),
        (
            "bad parameter",
            error("400 Bad Request", "", "BadParameter", None),
            Misconfigured,
            Err(OnlineError::Misconfigured),
        ),
        ("throttled", throttled(1), Unavailable, Err(OnlineError::Unavailable)),
        (
            "redirect",
            Reaction::Answer("302 Found".into(), "Location: https://127.0.0.1:1/\r\n".into(), String::new()),
            Unavailable,
            Err(OnlineError::Unavailable),
        ),
        (
            "broken",
            error("500 Internal Server Error", "", "InternalServerError", None),
            Unavailable,
            Err(OnlineError::Unavailable),
        ),
        ("away", status("503 Service Unavailable"), Unavailable, Err(OnlineError::Unavailable)),
    ]
}

#[tokio::test]
async fn each_documented_response_has_its_class() {
    let stub = Azure::start(TOKEN).await;
    stub.put("homelab--a", r#"{"K":"v"}"#);
    for (name, act, read, online) in rows() {
        let rig = azure(&stub, NO_CACHE, |_| {});
        assert_eq!(rig.read("homelab/a").await, single_value("K", "v"), "without the fault of {name}");
        stub.state().vault_reaction = Some(act);
        assert_eq!(rig.read("homelab/a").await, Err(read), "{name}");
        let rig = azure(&stub, NO_CACHE, |_| {});
        assert_eq!(rig.stores.check_online().await, [("azure".into(), online)], "{name}");
        stub.state().vault_reaction = None;
    }
    let rig = azure(&stub, NO_CACHE, |_| {});
    stub.put("homelab--b", r#"{"K":"v"}"#);
    for body in [
        json!([]),
        json!({"value": "{}"}),
        json!({"value": "{}", "id": "https://acme.vault.azure.net/secrets/homelab--b/1", "attributes": {}}),
    ] {
        stub.state().vault_reaction = Some(answer("200 OK", "", &body));
        assert_eq!(rig.read("homelab/a").await, Err(Unavailable), "{body}");
    }
}

#[tokio::test]
async fn a_refused_login_after_a_successful_one_is_unavailable() {
    let stub = Azure::start(TOKEN).await;
    stub.put("homelab--a", r#"{"K":"v"}"#);
    let rig = azure(&stub, NO_CACHE, |_| {});
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    stub.state().authority_reaction = Some(refused_login());
    stub.revoke_tokens();
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(2)).await;
    tokio::time::resume();
    assert_eq!(rig.read("homelab/a").await, Err(Unavailable), "the cloud may not reach the cluster's issuer");
    stub.state().authority_reaction = None;
    until("the next login", async || rig.read("homelab/a").await == single_value("K", "v")).await;
}

#[tokio::test]
async fn a_refused_login_is_an_error_and_is_retried() {
    let stub = Azure::start("another.token.here").await;
    stub.put("homelab--a", r#"{"K":"v"}"#);
    let invalid_request = answer("400 Bad Request", "", &json!({"error": "invalid_request", "error_codes": [70021]}));
    for (name, reaction, read, online) in [
        ("AADSTS70021", None, Forbidden, OnlineError::Refused),
        ("as it was said before", Some(invalid_request), Forbidden, OnlineError::Refused),
        ("throttled", Some(throttled(1)), Unavailable, OnlineError::Unavailable),
        ("away", Some(status("503 Service Unavailable")), Unavailable, OnlineError::Unavailable),
        (
            "redirect",
            Some(Reaction::Answer("302 Found".into(), "Location: https://127.0.0.1:1/\r\n".into(), String::new())),
            Unavailable,
            OnlineError::Unavailable,
        ),
        ("nonsense", Some(answer("200 OK", "", &json!({"access_token": "x"}))), Unavailable, OnlineError::Unavailable),
        (
            "no life",
            Some(answer("200 OK", "", &json!({"access_token": "x", "token_type": "Bearer", "expires_in": 0}))),
            Unavailable,
            OnlineError::Unavailable,
        ),
    ] {
        stub.state().authority_reaction = reaction;
        let rig = azure(&stub, NO_CACHE, |_| {});
        assert_eq!(rig.read("homelab/a").await, Err(read), "{name}");
        let rig = azure(&stub, NO_CACHE, |_| {});
        assert_eq!(rig.stores.check_online().await, [("azure".into(), Err(online))], "{name}");
    }
    stub.state().authority_reaction = None;
    assert_eq!(stub.state().reads, Vec::<String>::new(), "no secret is read without a token");
    // The federated credential exists a second later: the file has not changed.
    let rig = azure(&stub, NO_CACHE, |_| {});
    assert_eq!(rig.read("homelab/a").await, Err(Forbidden));
    stub.state().accepted_credential = TOKEN.into();
    until("the next login", async || rig.read("homelab/a").await == single_value("K", "v")).await;
}

#[tokio::test]
async fn concurrent_reads_cause_one_login() {
    let stub = Azure::start(TOKEN).await;
    stub.state().authority_reaction = Some(refused_login());
    let rig = Arc::new(azure(&stub, NO_CACHE, |_| {}));
    let mut readers = tokio::task::JoinSet::new();
    for number in 0..50 {
        let rig = rig.clone();
        readers.spawn(async move { rig.read(&format!("homelab/{number}")).await });
    }
    assert!(readers.join_all().await.iter().all(|read| *read == Err(Forbidden)));
    assert!(stub.state().logins <= 3, "{} logins", stub.state().logins);
}

#[tokio::test]
async fn each_login_reads_the_credential_file_again() {
    let stub = Azure::start(TOKEN).await;
    stub.put("homelab--a", r#"{"K":"v"}"#);
    let dir = tempfile::tempdir().unwrap();
    let client_secret_file = token_file(&dir, "secret~1");
    let auth = AzureAuth::ClientSecret { tenant_id: TENANT.into(), client_id: CLIENT.into(), client_secret_file };
    stub.state().accepted_credential = "secret~1".into();
    let rig = azure_as(&stub, dir, auth, NO_CACHE, |_| {});
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    stub.state().accepted_credential = "secret+2 /é".into();
    std::fs::write(rig.token_file(), "secret+2 /é\r\n").unwrap();
    stub.revoke_tokens();
    // A refused token that is new is not replaced.
    assert_eq!(rig.read("homelab/a").await, Err(Forbidden));
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(2)).await;
    tokio::time::resume();
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"), "the first read succeeds");
    std::fs::write(rig.token_file(), "").unwrap();
    stub.revoke_tokens();
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(2)).await;
    tokio::time::resume();
    assert_eq!(rig.read("homelab/a").await, Err(Unavailable), "an empty file");
    assert_eq!(rig.stores.reload().await, []);
}

#[tokio::test]
async fn a_token_is_replaced_in_the_background_before_it_expires() {
    let stub = Azure::start(TOKEN).await;
    stub.put("homelab--a", r#"{"K":"v"}"#);
    stub.state().expires_in = 3600;
    let rig = azure(&stub, NO_CACHE, |_| {});
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(50)).await;
    tokio::time::resume();
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"), "the first token is still valid");
    until("the second token", async || rig.calls("login", "ok") == 2).await;
    stub.state().authority_reaction = Some(status("503 Service Unavailable"));
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    assert_eq!(stub.state().logins, 2);
}

#[tokio::test]
async fn a_challenge_for_another_scope_is_ignored() {
    let stub = Azure::start(TOKEN).await;
    stub.state().vault_reaction = Some(unauthorized());
    let rig = azure(&stub, NO_CACHE, |_| {});
    // The stub refuses a login for another scope by failing the test.
    assert_eq!(rig.read("homelab/a").await, Err(Forbidden));
    assert_eq!(stub.counts(), (1, 1));
}

/// The twenty first paths.
async fn read_twenty(rig: &StoreRig) -> usize {
    let mut refused = 0;
    for number in 0..20 {
        refused += usize::from(rig.read(&format!("homelab/{number}")).await == Err(Unavailable));
    }
    refused
}

#[tokio::test]
async fn a_quota_error_suspends_calls_for_its_retry_after_up_to_the_limit() {
    let (stub, other) = (Azure::start(TOKEN).await, Azure::start(TOKEN).await);
    other.put("homelab--a", r#"{"K":"v"}"#);
    let (rig, neighbour) = (azure(&stub, NO_CACHE, |_| {}), azure(&other, NO_CACHE, |_| {}));
    stub.state().vault_reaction = Some(throttled(3600));
    assert_eq!(read_twenty(&rig).await, 20);
    assert_eq!(stub.state().reads.len(), 1, "one call until the suspension ends");
    assert!(rig.suspended("mount") >= 19);
    assert_eq!(neighbour.read("homelab/a").await, single_value("K", "v"));
    stub.state().vault_reaction = None;
    stub.put("homelab--a", r#"{"K":"v"}"#);
    let began = Instant::now();
    until("the suspension to end", async || rig.read("homelab/a").await == single_value("K", "v")).await;
    assert!(began.elapsed() < Duration::from_secs(10), "Retry-After is limited: {:?}", began.elapsed());
}

#[tokio::test]
async fn concurrent_builds_share_one_read_and_a_refusal_empties_the_cache() {
    let stub = Azure::start(TOKEN).await;
    stub.put("homelab--a", r#"{"K":"v"}"#);
    let rig = Arc::new(azure(&stub, MINUTE, |_| {}));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let rig = rig.clone();
        readers.spawn(async move { rig.read("homelab/a").await });
    }
    assert!(readers.join_all().await.iter().all(|read| *read == single_value("K", "v")));
    assert_eq!(stub.counts(), (1, 1));
    stub.state().vault_reaction = Some(status("503 Service Unavailable"));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    assert!(rig.lease("homelab/a").await.unwrap().stale);
    stub.state().vault_reaction = Some(forbidden());
    until("the refusal", async || rig.read("homelab/a").await == Err(Forbidden)).await;
    stub.state().vault_reaction = Some(status("503 Service Unavailable"));
    assert_eq!(rig.read("homelab/a").await, Err(Unavailable), "after a refusal nothing is cached");
}
