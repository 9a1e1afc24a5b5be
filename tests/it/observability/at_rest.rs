//! Canaries in the database files of waiting tickets: they contain neither values nor keys that open them.

use super::canaries::{Search, canary, encodings};
use crate::rig::claviger::download_path;
use crate::rig::oidc::{TestServer, allow};
use crate::rig::postgres::Postgres;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

const CANARIES: usize = 64;

/// Issues a ticket for each canary; a third is redeemed, and another third is redeemed with an idempotency key.
/// Returns everything that must not be found.
fn issue_canaries(server: &TestServer) -> Vec<String> {
    let mut told: Vec<String> = (0..CANARIES).flat_map(|n| encodings(&canary(n))).collect();
    for n in 0..CANARIES {
        let token = server.issuer.token(&json!({}));
        let path = download_path(&server.ask(&token, &format!("repo=site&branch=b{n}")));
        let headers: &[(&str, &str)] = if n % 3 == 1 { &[("Idempotency-Key", "again")] } else { &[] };
        if n % 3 < 2 {
            let answer = server.send("GET", &format!("{path}?format=json"), headers, b"");
            assert_eq!(answer.json()[format!("KEY_{n}")], canary(n));
        }
        let (id, key) = path.rsplit('/').next().unwrap().split_once('.').unwrap();
        told.extend([id.to_owned(), key.to_owned(), token.rsplit('.').next().unwrap().to_owned()]);
    }
    told
}

fn server(database: &Value) -> TestServer {
    let secrets: Map<String, Value> =
        (0..CANARIES).map(|n| (format!("homelab/site/b{n}"), json!({format!("KEY_{n}"): canary(n)}))).collect();
    let mut config = json!({"tickets": {"maxLivePerPod": 1000, "store": "database"}});
    if !database.is_null() {
        config["database"] = database.clone();
    }
    TestServer::start(&secrets.into(), &[("p", allow(&["homelab/{repo}/{branch}"], &json!({})))], &config, &[])
}

/// The content of all files in a folder and its subfolders.
fn contents(folder: &Path) -> Vec<u8> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .flat_map(|entry| match entry.file_type().unwrap() {
            kind if kind.is_dir() => contents(&entry.path()),
            kind if kind.is_file() => fs::read(entry.path()).unwrap(),
            _ => Vec::new(),
        })
        .collect()
}

fn assert_unseen(told: &[String], files: &[u8]) {
    let hits = Search::of(told).hits(files);
    assert!(hits.is_empty(), "{hits:#?}");
    // The control: the search finds public data in the files.
    for name in ["KEY_63", "homelab/site/b63"] {
        assert!(files.windows(name.len()).any(|window| window == name.as_bytes()), "no {name}");
    }
    let planted = [files, canary(9).as_bytes()].concat();
    assert!(!Search::of(told).hits(&planted).is_empty());
}

#[test]
fn the_files_of_sqlite_hold_nothing_that_opens() {
    let server = server(&Value::Null);
    let told = issue_canaries(&server);
    let files = fs::read_dir(server.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("claviger.db"));
    let files: Vec<u8> = files.flat_map(|path| fs::read(path).unwrap()).collect();
    assert_unseen(&told, &files);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_postgresql_hold_nothing_that_opens() {
    let mut database_server = Postgres::start(&[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("database-key");
    fs::write(&key, STANDARD.encode([7; 32])).unwrap();
    let server = server(&json!({"url": database_server.database().await, "keyFile": key}));
    let told = issue_canaries(&server);
    drop(server);
    // Everything committed is at least in the database's write-ahead log.
    database_server.stop();
    assert_unseen(&told, &contents(database_server.folder()));
}
