//! A server that may lose acknowledged commits in a failover is refused, unless the configuration accepts it.

use crate::rig::claviger::{Claviger, run, wait_until};
use crate::rig::oidc::{ISSUER, TokenIssuer};
use crate::rig::postgres::Postgres;
use crate::rig::replicas::new_database;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

/// A configuration for this database, and its folder.
fn configured(url: &str, allow: bool) -> (TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("jwks.json", TokenIssuer::new().jwks().to_string()),
        ("database.key", STANDARD.encode([7; 32])),
        ("s.yaml", "{}".into()),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let config = json!({
        "server": {"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0"},
        "authenticators": [{"name": "ci", "oidc": {"issuer": ISSUER, "audience": "claviger", "jwksFile": "jwks.json",
            "algorithms": ["ES256"]}}],
        "stores": [{"name": "local", "file": {"path": "s.yaml"}}],
        "database": {"url": url, "keyFile": "database.key", "allowDataLoss": allow},
    });
    fs::write(folder.path().join("claviger.yaml"), config.to_string()).unwrap();
    (folder, config)
}

fn serve(url: &str, allow: bool) -> Claviger {
    let (folder, config) = configured(url, allow);
    Claviger::serve_in(folder, config)
}

/// The error of a start that fails.
pub fn start_error(url: &str) -> String {
    let (folder, _) = configured(url, false);
    let file = folder.path().join("claviger.yaml").display().to_string();
    let (code, _, stderr) = run(&["serve", "--config", &file]);
    assert_eq!(code, Some(1), "{stderr}");
    stderr
}

/// The check of `claviger doctor`.
fn diagnosis(url: &str, allow: bool) -> Value {
    let (folder, _) = configured(url, allow);
    let file = folder.path().join("claviger.yaml").display().to_string();
    let (_, stdout, stderr) = run(&["doctor", "--config", &file, "--output", "json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}\n{stderr}"));
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == "database: failover").unwrap().clone()
}

fn possible(claviger: &Claviger, cause: &str) -> bool {
    claviger.metric(&format!("claviger_database_data_loss_possible{{cause=\"{cause}\"}}")) > 0.0
}

fn is_allowed(claviger: &Claviger) -> bool {
    claviger.metric("claviger_database_data_loss_allowed") > 0.0
}

const MAY_LOSE: &str = "a failover of the database may lose acknowledged commits: ";
const WHILE_RUNNING: &str = "a database failover may lose acknowledged commits: a standby is connected";

#[test]
fn an_asynchronous_standby_is_refused_unless_the_loss_is_accepted() {
    let primary = Postgres::start(&[]).unwrap();
    let url = new_database(&primary);
    let alone = serve(&url, false);
    assert!(!possible(&alone, "asynchronous_standby") && !is_allowed(&alone));
    assert_eq!(diagnosis(&url, false)["ok"], true, "a server without a standby needs no setting");

    let _standby = primary.standby("standby");
    wait_until("the standby", || primary.standby_states() == "async");
    let why = start_error(&url);
    assert!(why.contains(&format!("{MAY_LOSE}a standby is connected and synchronous_standby_names is empty")), "{why}");
    assert!(why.contains("database.allowDataLoss: true"), "{why}");
    assert_eq!(diagnosis(&url, false)["ok"], false);

    // A running process continues and reports it.
    wait_until("the change to be detected", || possible(&alone, "asynchronous_standby"));
    wait_until("the log line", || alone.count_logged(WHILE_RUNNING) == 1);

    let mut accepted = serve(&url, true);
    let line = accepted.wait_for_line("which database.allowDataLoss accepts: tickets redeemed just before a failover");
    assert_eq!((&line["level"], &line["cause"]), (&json!("WARN"), &json!("asynchronous_standby")), "{line}");
    assert!(possible(&accepted, "asynchronous_standby") && is_allowed(&accepted));
    assert_eq!(diagnosis(&url, true)["ok"], true);

    primary.require_synchronous_standby();
    let mut synchronous = serve(&url, false);
    assert!(!possible(&synchronous, "asynchronous_standby"));
    assert_eq!(synchronous.count_logged("may lose"), 0);
    assert_eq!(diagnosis(&url, false)["ok"], true);
    wait_until("the change to be detected", || !possible(&alone, "asynchronous_standby"));
    primary.set("synchronous_standby_names", "");
    wait_until("the change to be detected", || possible(&synchronous, "asynchronous_standby"));
    synchronous.wait_for_line(WHILE_RUNNING);
}

#[test]
fn a_standby_with_a_temporary_slot_is_refused_too() {
    let primary = Postgres::start(&[]).unwrap();
    let url = new_database(&primary);
    let _standby = primary.standby_with("standby", &["wal_receiver_create_temp_slot=on"]);
    wait_until("the standby", || primary.standby_states() == "async");
    assert_eq!(primary.query("SELECT CAST(count(*) AS TEXT) FROM pg_replication_slots WHERE temporary"), "1");
    assert!(start_error(&url).contains(MAY_LOSE));
}

#[test]
fn a_wal_receiver_that_is_not_a_standby_is_accepted_if_the_role_can_see_it() {
    let primary = Postgres::start(&[]).unwrap();
    let database = new_database(&primary).rsplit_once('/').unwrap().1.replace("?sslmode=disable", "");
    primary.query("CREATE ROLE build LOGIN PASSWORD 'secret'");
    primary.query(&format!("ALTER DATABASE {database} OWNER TO build"));
    let url = primary.url_as("build", "secret", &database);
    let folder = tempfile::tempdir().unwrap();
    let mut receiver = primary.receive_wal(folder.path());
    let receivers =
        || primary.query("SELECT CAST(count(*) AS TEXT) FROM pg_stat_replication WHERE state = 'streaming'");
    wait_until("the receiver", || receivers() == "1");

    let why = start_error(&url);
    assert!(why.contains(&format!("{MAY_LOSE}replication is in use")) && why.contains("pg_read_all_stats"), "{why}");
    let accepted = serve(&url, true);
    assert!(possible(&accepted, "unknown_receiver"));
    primary.query("GRANT pg_read_all_stats TO build");
    let seen = serve(&url, false);
    assert!(!possible(&seen, "unknown_receiver") && !possible(&seen, "asynchronous_standby"));
    let _ = receiver.kill();
    let _ = receiver.wait();
}

#[test]
fn asynchronous_commits_are_accepted_only_with_allow_data_loss() {
    let server = Postgres::start(&["synchronous_commit=off"]).unwrap();
    let url = new_database(&server);
    let why = start_error(&url);
    assert!(why.contains("synchronous_commit is neither on nor remote_apply; database.allowDataLoss: true"), "{why}");
    let accepted = serve(&url, true);
    assert!(possible(&accepted, "synchronous_commit") && is_allowed(&accepted));
}
