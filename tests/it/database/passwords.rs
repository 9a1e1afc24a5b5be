//! A password in a file, read for each new connection.

use super::*;
use crate::rig::claviger::binary;
use crate::rig::oidc::{ISSUER, TokenIssuer};
use crate::rig::postgres::postgres;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger::model::request_id::RequestId;
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A user with its own database, and the URL without the password.
async fn user(password: &str) -> (String, String, tempfile::TempDir, PathBuf) {
    let server = postgres();
    let name = format!("u{}", RequestId::random());
    let url = server.database().await;
    let database = url.rsplit_once('/').unwrap().1.split_once('?').unwrap().0.to_owned();
    let make = format!("CREATE USER {name} PASSWORD '{password}'; ALTER DATABASE {database} OWNER TO {name}");
    server.execute_in(&url, make).await;
    let own = url.replace(&format!("claviger:{}@", server.password()), &format!("{name}@"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, format!("{password}\n")).unwrap();
    (name, own, folder, file)
}

#[tokio::test]
async fn new_connections_use_a_replaced_password_and_old_ones_stay_open() {
    let (name, url, _folder, file) = user("first").await;
    let url = PostgresUrl::new(url).unwrap().with_password_file(file.clone());
    let server = postgres();
    let database = open(url.clone()).await.unwrap();
    assert_eq!(query(&database, "SELECT current_setting('fsync')").await, "on");
    let other = server.database().await;
    server.execute_in(&other, format!("ALTER USER {name} PASSWORD 'second'")).await;
    // The open connection still works; a new one does not, until the file is replaced.
    assert_eq!(query(&database, "SELECT current_setting('fsync')").await, "on");
    let error = open(url.clone()).await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("first"), "{error:?}");
    fs::write(&file, "second").unwrap();
    let again = open(url.clone()).await.unwrap();
    again.close().await;
    // The connections of the first are closed, so that it opens new ones.
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}'");
    server.execute_in(&other, end).await;
    assert_eq!(query(&database, "SELECT current_setting('fsync')").await, "on");
    fs::remove_file(&file).unwrap();
    assert!(matches!(open(url).await, Err(OpenError::PasswordFile)));
}

#[test]
fn a_wrong_password_in_the_file_prevents_the_start_and_is_not_logged() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_, url_text, folder, file) = runtime.block_on(user("first"));
    fs::write(&file, "hunter2").unwrap();
    fs::write(folder.path().join("key"), STANDARD.encode([7; 32])).unwrap();
    let server = url_text;
    fs::write(folder.path().join("jwks.json"), TokenIssuer::new().jwks().to_string()).unwrap();
    fs::write(folder.path().join("secrets.yaml"), "{}").unwrap();
    let config = json!({
        "server": {"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0"},
        "authenticators": [{"name": "ci", "oidc": {"issuer": ISSUER, "audience": "claviger", "jwksFile": "jwks.json",
            "algorithms": ["ES256"]}}],
        "administrators": {"subjectAccessReview": false},
        "stores": [{"name": "local", "file": {"path": "secrets.yaml"}}],
        "database": {"url": server, "passwordFile": "password", "keyFile": "key"},
    });
    fs::write(folder.path().join("claviger.yaml"), config.to_string()).unwrap();
    let start = Command::new(binary())
        .args(["serve", "--config"])
        .arg(folder.path().join("claviger.yaml"))
        .env("CLAVIGER__TELEMETRY__LOGLEVEL", "trace")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&start.stdout).into_owned() + &String::from_utf8_lossy(&start.stderr);
    assert_eq!(start.status.code(), Some(1), "{output}");
    assert!(output.contains("password authentication failed") && !output.contains("hunter2"), "{output}");
}
