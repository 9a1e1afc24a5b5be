//! Tests with SQLite; the integration tests run PostgreSQL.

use super::*;
use crate::config::database::Url;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;
use std::path::Path;

async fn write_event(database: &Database, seq: i64) {
    let [empty, chain] = [Param::from(""), Param::from("c")];
    let row = [chain, seq.into(), empty.clone(), empty.clone(), empty.clone(), empty.clone(), empty.clone(), empty];
    let columns = "audit_events (chain, seq, prev_hash, hash, time, type, outcome, event)";
    database.insert(columns, 8, &row).await.expect("written");
}

async fn events(database: &Database) -> i64 {
    let rows = database.run("SELECT count(*) FROM audit_events", &[]).await.expect("the table");
    rows[0].number(0).expect("a number")
}

fn url(folder: &Path) -> Url {
    Url::SqliteFile(folder.join("claviger.db"))
}

#[tokio::test]
async fn a_reopened_file_has_the_rows_of_before() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..2 {
        let database = Database::open(&url(folder.path())).await.expect("opens");
        assert_eq!(events(&database).await, round);
        write_event(&database, round).await;
        database.close().await;
    }
}

#[tokio::test]
async fn open_migrates_a_database_of_the_first_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("claviger.db");
    let mut old = SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.expect("made");
    migrations::up_to(1).run(&mut old).await.expect("the first version");
    sqlx::query("INSERT INTO audit_events VALUES ('c', 7, '', '', '', 'kind', '', 'it''s me', NULL, NULL, NULL, '')")
        .execute(&mut old)
        .await
        .expect("written");
    old.close().await.expect("closed");
    let database = Database::open(&Url::SqliteFile(path)).await.expect("opens");
    assert_eq!(events(&database).await, 1);
    let head = database.run("SELECT revision FROM policy_head", &[]).await.expect("the new table");
    assert_eq!(head[0].number(0).expect("a number"), 0);
    let block = "INSERT INTO audit_blocks VALUES (0, 1, 1, '', '', x'0000') RETURNING last_row";
    assert_eq!(database.run(block, &[]).await.expect("the new table").len(), 1);
    database.run("DELETE FROM audit_events", &[]).await.expect("deleted");
    assert_eq!(database.run("SELECT 1 FROM audit_blocks", &[]).await.expect("the new table").len(), 0);
}

#[tokio::test]
async fn open_fails_if_the_folder_does_not_exist() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = Url::SqliteFile(folder.path().join("no/such/claviger.db"));
    assert!(matches!(Database::open(&url).await, Err(OpenError::Sqlx(_))));
}

#[tokio::test]
async fn a_unit_of_work_is_rolled_back_unless_committed() {
    let database = Database::open(&Url::SqliteMemory).await.expect("opens");
    for commits in [false, true] {
        let mut work = database.begin().await.expect("begun");
        work.run("UPDATE policy_head SET revision = revision + $1", &[5.into()]).await.expect("done");
        if commits {
            work.commit().await.expect("committed");
        } else {
            drop(work);
        }
        let head = database.run("SELECT revision FROM policy_head", &[]).await.expect("read");
        assert_eq!(head[0].number(0).expect("a number"), if commits { 5 } else { 0 });
    }
}

#[tokio::test]
async fn statements_fail_after_close() {
    let database = Database::open(&Url::SqliteMemory).await.expect("opens");
    assert_eq!(database.run("SELECT no", &[]).await.err().expect("no column").kind(), "database");
    database.close().await;
    assert_eq!(database.run("SELECT 1", &[]).await.err().expect("closed").kind(), "closed");
}
