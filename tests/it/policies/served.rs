//! The binary with a database: its policies decide, and audit events of several replicas are chained in it.

use super::*;
use crate::rig::claviger::{Claviger, Dev};
use crate::rig::http::Answer;
use crate::rig::postgres::Postgres;
use claviger::policy::WritePrecondition;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

/// `dev` with its own sample policies, on this database.
fn dev_on(url: &str, key_file: &Path) -> Claviger {
    let key_file = key_file.display().to_string();
    let environment = [("CLAVIGER__DATABASE__URL", url), ("CLAVIGER__DATABASE__KEYFILE", key_file.as_str())];
    Claviger::dev(&Dev { environment: &environment, ..Dev::default() })
}

fn key_file(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("key");
    std::fs::write(&path, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    path
}

fn ask(claviger: &Claviger, repo: &str) -> Answer {
    claviger.ask(&claviger.token("token"), &format!("repo={repo}&branch=main"))
}

/// The policies of the database, as an API on another replica would write them: `dev` has one store and one issuer.
async fn writer(url: &str) -> PolicyRegister {
    let database = Database::open(&Url::Postgres(parse_postgres_url(url))).await.unwrap();
    PolicyRegister::open(None, database, Arc::new(SystemClock), bounds_of_dev(), Box::new(())).await.unwrap()
}

fn bounds_of_dev() -> Bounds {
    Bounds {
        stores: ["local".into()].into(),
        authenticators: [("dev".into(), AuthenticatorKind::Oidc)].into(),
        ..bounds()
    }
}

fn sample_caller(repo: &str, effect: &str) -> NewPolicy {
    let mut spec = json!({
        "effect": effect,
        "subjects": [{"oidc": {"issuer": "dev", "claims": {"role": "build"}}}],
        "repos": [repo],
        "branches": ["**"],
    });
    if effect == "allow" {
        spec["secrets"] = json!([{"store": "local", "path": "homelab/{repo}/{branch}"}]);
    }
    compiled(&format!("{effect}-{repo}"), spec, &bounds_of_dev()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_in_postgres_decides_in_every_replica_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let (url, key_file) = (postgres().database().await, key_file(folder.path()));
    let replicas = [dev_on(&url, &key_file), dev_on(&url, &key_file)];
    let writer = writer(&url).await;
    let status = |repo: &'static str| replicas.each_ref().map(|replica| ask(replica, repo).status);
    assert_eq!((status("other"), status("moreira.dev")), ([403; 2], [201; 2]));

    writer.create(sample_caller("other", "allow")).await.unwrap();
    wait_within(Duration::from_secs(1), || status("other") == [201; 2]).await;
    writer.create(sample_caller("other", "deny")).await.unwrap();
    wait_within(Duration::from_secs(1), || status("other") == [403; 2]).await;
    writer.delete("deny-other", "alice", WritePrecondition::Any).await.unwrap();
    wait_within(Duration::from_secs(1), || status("other") == [201; 2]).await;
    writer.delete("allow-other", "alice", WritePrecondition::Any).await.unwrap();
    wait_within(Duration::from_secs(1), || status("other") == [403; 2]).await;
    for replica in &replicas {
        assert!(replica.metric("claviger_policies") < 1.5, "only the policy of the sample is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_chains_of_replicas_stand_side_by_side_in_postgres() {
    let folder = tempfile::tempdir().unwrap();
    let (url, key_file) = (postgres().database().await, key_file(folder.path()));
    {
        let replicas = [dev_on(&url, &key_file), dev_on(&url, &key_file)];
        for _ in 0..3 {
            for replica in &replicas {
                let path = replica.ticket("moreira.dev", "main");
                assert_eq!(replica.download(&path).status, 200);
            }
        }
    }
    let third = dev_on(&url, &key_file);
    third.ticket("moreira.dev", "main");

    let mut connection = PgConnection::connect(&url).await.unwrap();
    let rows: Vec<(String, i64, String, String, String)> =
        sqlx::query_as("SELECT chain, seq, prev_hash, hash, event FROM audit_events ORDER BY rowid")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert_eq!(rows.len(), 2 * 3 * 2 + 1);
    let mut heads: Vec<(String, i64, String)> = Vec::new();
    let mut hashes = Vec::new();
    for (chain, seq, prev_hash, hash, event) in rows {
        let event: Value = serde_json::from_str(&event).unwrap();
        assert_eq!((event["chain"].as_str(), event["prevHash"].as_str()), (Some(&*chain), Some(&*prev_hash)));
        if let Some(head) = heads.iter_mut().find(|(known, ..)| *known == chain) {
            assert_eq!((seq, &prev_hash), (head.1 + 1, &head.2));
            (head.1, head.2) = (seq, hash.clone());
        } else {
            assert_eq!(seq, 1);
            assert!(prev_hash.bytes().all(|b| b == b'0') || hashes.contains(&prev_hash), "no predecessor");
            assert_eq!(heads.len() == 2, hashes.last() == Some(&prev_hash), "the third chain names the last event");
            heads.push((chain, seq, hash.clone()));
        }
        hashes.push(hash);
    }
    assert_eq!(heads.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_all_requests_get_503_and_the_process_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Postgres::start(&[]).unwrap();
    let claviger = dev_on(&server.database().await, &key_file(folder.path()));
    let path = claviger.ticket("moreira.dev", "main");
    server.stop();
    for answer in [ask(&claviger, "moreira.dev"), claviger.download(&path)] {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.text().contains("audit_unavailable"), "{answer:?}");
    }
    server.start_again();
    let deadline = Instant::now() + Duration::from_secs(20);
    while ask(&claviger, "moreira.dev").status != 201 {
        assert!(Instant::now() < deadline, "the process does not recover");
    }
    assert_eq!(claviger.download(&path).status, 200, "the ticket was not consumed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_deny_that_does_not_compile_denies_after_a_start_and_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let (url, key_file) = (postgres().database().await, key_file(folder.path()));
    let database = Database::open(&Url::Postgres(parse_postgres_url(&url))).await.unwrap();
    let at = "2026-01-01T00:00:00Z";
    let row = ["p".into(), 1.into(), at.into(), at.into(), "alice".into(), r#"{"effect": "deny"}"#.into()];
    database.insert("policies (name, revision, created_at, updated_at, updated_by, spec)", 6, &row).await.unwrap();
    let claviger = dev_on(&url, &key_file);
    assert_eq!(ask(&claviger, "moreira.dev").status, 403);
    let log = claviger.log();
    assert!(log.contains("the stored policy p: spec.subjects: must have at least one subject"), "{log}");
}
