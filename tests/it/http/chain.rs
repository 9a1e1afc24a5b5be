//! The hash chain, recomputed from the database rows by code that is independent of the broker's.

use crate::rig::http::hex;
use crate::rig::oidc::{TestServer, allow};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, Row as _};
use std::path::Path;

#[derive(Debug, Clone)]
struct Row {
    chain: String,
    seq: i64,
    prev_hash: String,
    hash: String,
    time: String,
    kind: String,
    outcome: String,
    event: String,
}

fn rows(folder: &Path) -> Vec<Row> {
    let url = format!("sqlite://{}?mode=ro", folder.join("claviger.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let query = "SELECT chain, seq, prev_hash, hash, time, type, outcome, event FROM audit_events ORDER BY rowid";
        let rows = sqlx::query(query).fetch_all(&mut connection).await.unwrap();
        let row = |row: &SqliteRow| Row {
            chain: row.get(0),
            seq: row.get(1),
            prev_hash: row.get(2),
            hash: row.get(3),
            time: row.get(4),
            kind: row.get(5),
            outcome: row.get(6),
            event: row.get(7),
        };
        rows.iter().map(row).collect()
    })
}

fn sha256(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// The first row that does not verify, if any.
fn first_broken(rows: &[Row], hash: impl Fn(&str) -> String) -> Option<usize> {
    let (mut head, mut last): (String, Option<(&str, i64)>) = ("0".repeat(64), None);
    for (place, row) in rows.iter().enumerate() {
        let seq = match last {
            Some((chain, seq)) if chain == row.chain => seq + 1,
            _ => 1,
        };
        let event: Value = serde_json::from_str(&row.event).ok()?;
        let columns = json!([row.chain, row.seq, row.prev_hash, row.time, row.kind, row.outcome]);
        let members =
            json!([event["chain"], event["seq"], event["prevHash"], event["time"], event["type"], event["outcome"]]);
        if row.seq != seq || row.prev_hash != head || hash(&row.event) != row.hash || columns != members {
            return Some(place);
        }
        head.clone_from(&row.hash);
        last = Some((&row.chain, seq));
    }
    None
}

/// Starts the server three times, with a few events each time.
fn start_three_times(config: &Value) -> TestServer {
    let policies = [("p", allow(&["homelab/{repo}"], &json!({"repos": ["site"]})))];
    let mut server = TestServer::start(&json!({"homelab/site": {"K": "v"}}), &policies, config, &[]);
    for life in 0..3 {
        if life > 0 {
            server.kill_and_restart();
        }
        server.download(&server.new_download_path());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| server.asks("repo=other&branch=main"));
            }
        });
    }
    server
}

#[test]
fn anybody_can_compute_the_chain_over_restarts() {
    let server = start_three_times(&json!({}));
    let rows = rows(server.folder.path());
    assert_eq!(rows.len(), 30);
    assert_eq!(first_broken(&rows, sha256), None);
    let mut chains: Vec<&str> = rows.iter().map(|row| row.chain.as_str()).collect();
    chains.dedup();
    assert_eq!(chains.len(), 3, "one chain for each start");
    assert_eq!((rows[10].seq, &rows[10].prev_hash), (1, &rows[9].hash), "the first event names its predecessor's head");
    // The printed copy has the same hashes.
    let printed: Vec<Value> = server
        .stdout()
        .lines()
        .filter(|line| !line.contains("audit.checkpoint"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let hashes: Vec<&str> = printed.iter().map(|event| event["hash"].as_str().unwrap()).collect();
    let stored: Vec<&str> = rows[20..].iter().map(|row| row.hash.as_str()).collect();
    assert_eq!(hashes, stored);
}

#[test]
fn every_change_breaks_it_in_its_place() {
    let server = start_three_times(&json!({}));
    let rows = rows(server.folder.path());
    for place in 0..rows.len() {
        let with = |change: &dyn Fn(&mut Row)| {
            let mut rows = rows.clone();
            change(&mut rows[place]);
            first_broken(&rows, sha256)
        };
        assert_eq!(with(&|row| row.event = row.event.replacen("\"outcome\":\"", "\"outcome\":\"x", 1)), Some(place));
        assert_eq!(with(&|row| row.hash = sha256("x")), Some(place));
        assert_eq!(with(&|row| row.seq += 1), Some(place));
        assert_eq!(with(&|row| row.outcome.push('x')), Some(place));
        // Edited and hashed again: the next row does not match.
        let resealed = with(&|row| {
            row.event = row.event.replacen("127.0.0.1", "127.0.0.2", 1);
            row.hash = sha256(&row.event);
        });
        assert_eq!(resealed, (place + 1 < rows.len()).then_some(place + 1));
        let mut dropped = rows.clone();
        dropped.remove(place);
        assert_eq!(first_broken(&dropped, sha256), (place + 1 < rows.len()).then_some(place));
    }
}

#[test]
fn a_key_from_outside_makes_it_an_hmac() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chain.key");
    std::fs::write(&file, STANDARD.encode([7; 32])).unwrap();
    let server = start_three_times(&json!({"audit": {"keyFile": file}}));
    let rows = rows(server.folder.path());
    let keyed = |key: [u8; 32]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        move |text: &str| hex(hmac::sign(&key, text.as_bytes()).as_ref())
    };
    assert_eq!(first_broken(&rows, keyed([7; 32])), None);
    assert_eq!(first_broken(&rows, keyed([8; 32])), Some(0));
    assert_eq!(first_broken(&rows, sha256), Some(0));
}
