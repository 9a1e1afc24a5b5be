//! Secret Manager: the three logins, names, versions, checksums, and the class of each answer.

use super::super::{NO_CACHE, single_value};
use super::{MINUTE, TOKEN, federation, google, google_as, token_file};
use crate::rig::bao::until;
use crate::rig::clouds::google::{ACCOUNT, Google, answer, api_disabled, error, refused_exchange};
use crate::rig::fake::{Fake, Reaction, json as plain, status};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::config::gcp_secret_manager::GcpAuth;
use claviger::config::value_format::ValueFormat;
use claviger::stores::OnlineError;
use claviger::stores::ReadError::{self, Absent, Deleted, Forbidden, Misconfigured, Unavailable};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test]
async fn one_token_exchange_serves_several_reads() {
    let stub = Google::start(TOKEN).await;
    stub.put("homelab__site__main", br#"{"K":"old"}"#);
    let version = stub.put("homelab__site__main", br#"{"K":"v"}"#);
    let rig = Arc::new(google(&stub, NO_CACHE, |_| {}));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let rig = rig.clone();
        readers.spawn(async move { rig.read("homelab/site/main").await });
    }
    assert!(readers.join_all().await.iter().all(|read| *read == single_value("K", "v")));
    assert_eq!(rig.lease("homelab/site/main").await.unwrap().version, Some(version));
    assert_eq!(rig.read("homelab/site/Main").await, Err(Absent));
    assert_eq!(rig.read("homelab/site/other").await, Err(Absent));
    assert_eq!((stub.state().logins, rig.calls("login", "ok")), (1, 1));
    assert_eq!(rig.stores.check_online().await, [("gcp".into(), Ok(()))]);
    assert!(
        stub.state().user_agents.iter().all(|agent| agent.starts_with("claviger-")),
        "{:?}",
        stub.state().user_agents
    );
}

#[tokio::test]
async fn each_path_has_its_own_secret() {
    let stub = Google::start(TOKEN).await;
    stub.put("homelab__a_b", br#"{"K":"one"}"#);
    stub.put("homelab__a__b", br#"{"K":"two"}"#);
    stub.put("homelab__feature___7ex", br#"{"K":"slash"}"#);
    let rig = google(&stub, NO_CACHE, |_| {});
    assert_eq!(rig.read("homelab/a_b").await, single_value("K", "one"));
    assert_eq!(rig.read("homelab/a/b").await, single_value("K", "two"));
    assert_eq!(rig.read("homelab/feature~x").await, single_value("K", "slash"));
    assert_eq!(rig.read("homelab/a__b").await, Err(Absent));
    let long = format!("homelab/{}", "a".repeat(247));
    assert_eq!(rig.read(&long).await, Err(Misconfigured), "a name of 256 characters is not truncated");
    assert_eq!(rig.read(&long[..254]).await, Err(Absent), "a name of 255 characters is read");
}

#[tokio::test]
async fn a_refused_login_after_a_successful_one_is_unavailable() {
    let stub = Google::start(TOKEN).await;
    stub.put("homelab__a", br#"{"K":"v"}"#);
    let rig = google(&stub, NO_CACHE, |_| {});
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    stub.state().exchange_reaction = Some(status("401 Unauthorized"));
    stub.revoke_tokens();
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(2)).await;
    tokio::time::resume();
    assert_eq!(rig.read("homelab/a").await, Err(Unavailable), "the cloud may not reach the cluster's issuer");
    stub.state().exchange_reaction = None;
    until("the next login", async || rig.read("homelab/a").await == single_value("K", "v")).await;
}

#[tokio::test]
async fn a_configured_service_account_is_impersonated() {
    let stub = Google::start(TOKEN).await;
    stub.put("homelab__a", br#"{"K":"v"}"#);
    stub.state().impersonates = true;
    let direct = google(&stub, NO_CACHE, |_| {});
    assert_eq!(direct.read("homelab/a").await, Err(Forbidden), "the federated identity has no permission");
    let as_account = || {
        let dir = tempfile::tempdir().unwrap();
        let auth = federation(&stub, token_file(&dir, TOKEN), Some(ACCOUNT));
        google_as(&stub, dir, auth, NO_CACHE, |_| {})
    };
    let rig = as_account();
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    assert_eq!(rig.calls("login", "ok"), 2, "an exchange and an impersonation");
    for (reaction, read) in [
        (error("403 Forbidden", "PERMISSION_DENIED"), Forbidden),
        (error("404 Not Found", "NOT_FOUND"), Forbidden),
        (error("400 Bad Request", "INVALID_ARGUMENT"), Misconfigured),
        (error("429 Too Many Requests", "RESOURCE_EXHAUSTED"), Unavailable),
        (status("503 Service Unavailable"), Unavailable),
        (answer("200 OK", &json!({"accessToken": "x", "expireTime": "2001-01-01T00:00:00Z"})), Unavailable),
    ] {
        stub.state().impersonation_reaction = Some(reaction);
        assert_eq!(as_account().read("homelab/a").await, Err(read));
    }
}

#[tokio::test]
async fn the_newest_version_is_read_even_if_it_is_disabled() {
    let stub = Google::start(TOKEN).await;
    stub.put("homelab__a", br#"{"K":"one"}"#);
    stub.put("homelab__a", br#"{"K":"two"}"#);
    let rig = google(&stub, NO_CACHE, |_| {});
    assert_eq!(rig.read("homelab/a").await, single_value("K", "two"));
    stub.disable_newest("homelab__a");
    assert_eq!(rig.read("homelab/a").await, Err(Deleted), "the previous version is not read");
    stub.put("homelab__a", br#"{"K":"three"}"#);
    assert_eq!(rig.lease("homelab/a").await.unwrap().version.as_deref(), Some("3"));
}

#[tokio::test]
async fn data_with_a_wrong_checksum_is_read_once_more() {
    let stub = Google::start(TOKEN).await;
    stub.put("homelab__a", br#"{"K":"v"}"#);
    let rig = google(&stub, NO_CACHE, |_| {});
    stub.state().wrong_checksums = 1;
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    assert_eq!(stub.state().reads.len(), 2);
    stub.state().wrong_checksums = 2;
    assert_eq!(rig.read("homelab/a").await, Err(Unavailable));
    assert_eq!(stub.state().reads.len(), 4);
}

#[tokio::test]
async fn with_text_values_the_secret_is_one_value_and_binary_data_is_refused() {
    let stub = Google::start(TOKEN).await;
    stub.put("shared__npm-token", b"hunter2");
    stub.put("shared__bytes", &[0xff, 0xfe]);
    stub.put("shared__nul", b"a\0b");
    let objects = google(&stub, NO_CACHE, |_| {});
    let texts = google(&stub, NO_CACHE, |config| config.values = ValueFormat::Text);
    assert_eq!(texts.read("shared/npm-token").await, single_value("npm-token", "hunter2"));
    assert_eq!(objects.read("shared/npm-token").await, Err(Misconfigured));
    for path in ["shared/bytes", "shared/nul"] {
        assert_eq!(texts.read(path).await, Err(Misconfigured), "{path}");
    }
}

#[tokio::test]
async fn a_regional_secret_is_read_in_its_location() {
    let stub = Google::start(TOKEN).await;
    stub.state().location = Some("europe-west3");
    stub.put("homelab__a", br#"{"K":"v"}"#);
    let rig = google(&stub, NO_CACHE, |config| config.location = Some("europe-west3".into()));
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"));
    assert_eq!(rig.read("homelab/b").await, Err(Absent));
}

/// Each documented answer, with the result of a read and of `check --online`.
fn rows() -> Vec<(&'static str, Reaction, ReadError, Result<(), OnlineError>)> {
    let misconfigured = Err(OnlineError::Misconfigured);
    let unavailable = Err(OnlineError::Unavailable);
    vec![
        ("absent", error("404 Not Found", "NOT_FOUND"), Absent, Ok(())),
        ("another 404", error("404 Not Found", "UNKNOWN"), Misconfigured, misconfigured),
        (
            "a page",
            Reaction::Answer("404 Not Found".into(), "Content-Type: text/html\r\n".into(), "<html>".into()),
            Misconfigured,
            misconfigured,
        ),
        ("disabled or destroyed", error("400 Bad Request", "FAILED_PRECONDITION"), Deleted, Ok(())),
        ("another 400", error("400 Bad Request", "INVALID_ARGUMENT"), Misconfigured, misconfigured),
        ("no right, or not there", error("403 Forbidden", "PERMISSION_DENIED"), Forbidden, Ok(())),
        ("switched off", api_disabled(), Misconfigured, misconfigured),
        ("unknown token", error("401 Unauthorized", "UNAUTHENTICATED"), Forbidden, Err(OnlineError::Refused)),
        ("throttled", error("429 Too Many Requests", "RESOURCE_EXHAUSTED"), Unavailable, unavailable),
        (
            "redirect",
            Reaction::Answer("302 Found".into(), "Location: https://127.0.0.1:1/\r\n".into(), String::new()),
            Unavailable,
            unavailable,
        ),
        ("broken", error("500 Internal Server Error", "INTERNAL"), Unavailable, unavailable),
        ("away", error("503 Service Unavailable", "UNAVAILABLE"), Unavailable, unavailable),
    ]
}

#[tokio::test]
async fn each_documented_response_has_its_class() {
    let stub = Google::start(TOKEN).await;
    stub.put("homelab__a", br#"{"K":"v"}"#);
    for (name, act, read, online) in rows() {
        let rig = google(&stub, NO_CACHE, |_| {});
        assert_eq!(rig.read("homelab/a").await, single_value("K", "v"), "without the fault of {name}");
        stub.state().api_reaction = Some(act);
        assert_eq!(rig.read("homelab/a").await, Err(read), "{name}");
        let rig = google(&stub, NO_CACHE, |_| {});
        assert_eq!(rig.stores.check_online().await, [("gcp".into(), online)], "{name}");
        stub.state().api_reaction = None;
    }
    let rig = google(&stub, NO_CACHE, |_| {});
    for body in [
        json!([]),
        json!({"name": "projects/1/secrets/homelab__a/versions/1"}),
        json!({"name": "projects/1/secrets/homelab__b/versions/1", "payload": {"data": "e30="}}),
        json!({"name": "projects/1/secrets/homelab__a/versions/1", "payload": {"data": "%"}}),
    ] {
        stub.state().api_reaction = Some(answer("200 OK", &body));
        assert_eq!(rig.read("homelab/a").await, Err(Unavailable), "{body}");
    }
}

#[tokio::test]
async fn a_refused_exchange_is_an_error_and_is_retried() {
    let stub = Google::start("another.token.here").await;
    stub.put("homelab__a", br#"{"K":"v"}"#);
    for (name, reaction, read, online) in [
        ("invalid_grant", None, Forbidden, OnlineError::Refused),
        ("no such provider", Some(refused_exchange("invalid_target")), Misconfigured, OnlineError::Misconfigured),
        ("401", Some(status("401 Unauthorized")), Forbidden, OnlineError::Refused),
        ("403", Some(status("403 Forbidden")), Forbidden, OnlineError::Refused),
        ("throttled", Some(status("429 Too Many Requests")), Unavailable, OnlineError::Unavailable),
        ("away", Some(status("503 Service Unavailable")), Unavailable, OnlineError::Unavailable),
        ("nonsense", Some(answer("200 OK", &json!({"access_token": "x"}))), Unavailable, OnlineError::Unavailable),
    ] {
        stub.state().exchange_reaction = reaction;
        let rig = google(&stub, NO_CACHE, |_| {});
        assert_eq!(rig.read("homelab/a").await, Err(read), "{name}");
        let rig = google(&stub, NO_CACHE, |_| {});
        assert_eq!(rig.stores.check_online().await, [("gcp".into(), Err(online))], "{name}");
    }
    assert_eq!(stub.state().reads, Vec::<String>::new());
    stub.state().exchange_reaction = None;
    let rig = google(&stub, NO_CACHE, |_| {});
    assert_eq!(rig.read("homelab/a").await, Err(Forbidden));
    stub.state().accepted_credential = TOKEN.into();
    until("the next exchange", async || rig.read("homelab/a").await == single_value("K", "v")).await;
    // The file is read again after Google refuses the token.
    stub.state().accepted_credential = "rotated.token.here".into();
    std::fs::write(rig.token_file(), "rotated.token.here").unwrap();
    stub.revoke_tokens();
    assert_eq!(rig.read("homelab/a").await, Err(Forbidden), "a refused token that is new is not replaced");
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(2)).await;
    tokio::time::resume();
    assert_eq!(rig.read("homelab/a").await, single_value("K", "v"), "the first read succeeds");
}

#[tokio::test]
async fn the_metadata_server_gets_its_header_and_must_return_it() {
    let stub = Google::start(TOKEN).await;
    stub.put("homelab__a", br#"{"K":"v"}"#);
    stub.state().any_token = true;
    let good = r#"{"access_token":"ya29.m","expires_in":3599,"token_type":"Bearer"}"#;
    let flavor = |value: &str| {
        let headers = format!("Metadata-Flavor: {value}\r\nContent-Type: application/json\r\n");
        Reaction::Answer("200 OK".into(), headers, good.into())
    };
    for (act, expected) in [
        (flavor("Google"), single_value("K", "v")),
        (flavor("Other"), Err(Unavailable)),
        (plain(good), Err(Unavailable)),
        (status("404 Not Found"), Err(Forbidden)),
        (status("403 Forbidden"), Err(Forbidden)),
        (status("503 Service Unavailable"), Err(Unavailable)),
    ] {
        let metadata = Fake::start_by_head(move |head| {
            let mut lines = head.lines();
            let line = "GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1";
            assert_eq!(lines.next(), Some(line));
            // The real server refuses a request without the header, which could be forged through a browser or proxy.
            assert!(lines.any(|line| line.eq_ignore_ascii_case("Metadata-Flavor: Google")), "{head}");
            act.clone()
        })
        .await;
        let auth =
            GcpAuth::MetadataServer { service_account: "default".into(), endpoint_url: metadata.address.clone() };
        let rig = google_as(&stub, tempfile::tempdir().unwrap(), auth, NO_CACHE, |_| {});
        assert_eq!(rig.read("homelab/a").await, expected);
    }
    assert_eq!(stub.state().last_token, "ya29.m");
}

#[tokio::test]
async fn a_key_file_signs_tokens_and_its_token_uri_is_not_called() {
    let stub = Google::start(TOKEN).await;
    stub.put("homelab__a", br#"{"K":"v"}"#);
    stub.state().any_token = true;
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap().serialize_pem();
    let elsewhere = Fake::start(|_| panic!("an address of the key file was called")).await;
    let file = json!({"type": "service_account", "client_email": ACCOUNT, "private_key_id": "k1", "private_key": key,
        "token_uri": elsewhere.address});
    let rig = |file: &Value| {
        let dir = tempfile::tempdir().unwrap();
        let path = token_file(&dir, &file.to_string());
        google_as(&stub, dir, GcpAuth::ServiceAccountKeyFile(path), NO_CACHE, |_| {})
    };
    assert_eq!(rig(&file).read("homelab/a").await, single_value("K", "v"));
    let token = stub.state().last_token.clone();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!(ACCOUNT), &json!(ACCOUNT)));
    assert_eq!((stub.state().logins, elsewhere.requests()), (0, 0), "no token is requested");
    let mut other = file.clone();
    other["type"] = json!("external_account");
    assert_eq!(rig(&other).read("homelab/a").await, Err(Unavailable));
}

#[tokio::test]
async fn concurrent_builds_of_a_repo_share_one_read() {
    let stub = Google::start(TOKEN).await;
    stub.put("homelab__a", br#"{"K":"v"}"#);
    let rig = Arc::new(google(&stub, MINUTE, |_| {}));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let rig = rig.clone();
        readers.spawn(async move { rig.read("homelab/a").await });
    }
    assert!(readers.join_all().await.iter().all(|read| *read == single_value("K", "v")));
    assert_eq!(stub.counts(), (1, 1));
}

#[tokio::test]
async fn a_quota_error_suspends_calls_for_its_retry_after() {
    let stub = Google::start(TOKEN).await;
    let rig = google(&stub, NO_CACHE, |_| {});
    let Reaction::Answer(line, headers, body) = error("429 Too Many Requests", "RESOURCE_EXHAUSTED") else { panic!() };
    stub.state().api_reaction = Some(Reaction::Answer(line, format!("{headers}Retry-After: 3600\r\n"), body));
    for number in 0..20 {
        assert_eq!(rig.read(&format!("homelab/{number}")).await, Err(Unavailable));
    }
    assert_eq!(stub.state().reads.len(), 1, "one call until the suspension ends");
    assert!(rig.suspended("mount") >= 19);
    stub.state().api_reaction = None;
    stub.put("homelab__a", br#"{"K":"v"}"#);
    let began = Instant::now();
    until("the suspension to end", async || rig.read("homelab/a").await == single_value("K", "v")).await;
    assert!(began.elapsed() < Duration::from_secs(10), "Retry-After is limited: {:?}", began.elapsed());
}
