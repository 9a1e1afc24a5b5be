//! `PgBouncer` with its defaults in front of PostgreSQL.

use super::*;
use crate::rig::oidc::allow;
use crate::rig::pgbouncer::PgBouncer;
use crate::rig::postgres::{Postgres, parse_postgres_url, postgres};
use crate::rig::replicas::{Replicas, new_database};
use claviger::database::Param;
use serde_json::json;
use std::sync::Mutex;
use std::time::{Duration, Instant};

#[tokio::test]
async fn session_and_transaction_mode_are_used_and_statement_mode_is_refused() {
    for mode in ["session", "transaction"] {
        let url = postgres().database().await;
        let pooler = PgBouncer::start(&url, mode, &[]);
        // Two start together on an empty database, which is migrated once.
        let opened = futures_util::future::join_all((0..2).map(|_| open(parse_postgres_url(pooler.url())))).await;
        for database in opened {
            database.unwrap().close().await;
        }
        // sqlx accepts what was recorded.
        open(parse_postgres_url(&url)).await.unwrap().close().await;
    }
    let pooler = PgBouncer::start(&postgres().database().await, "statement", &[]);
    let error = open(parse_postgres_url(pooler.url())).await.unwrap_err();
    assert!(matches!(error, OpenError::NoTransactions), "{error:?}");
}

#[tokio::test]
async fn a_pooler_that_ignores_the_marker_is_detected() {
    let url = postgres().database().await;
    let pooler = PgBouncer::start(&url, "transaction", &["ignore_startup_parameters = options,extra_float_digits"]);
    let database = open(parse_postgres_url(pooler.url())).await.unwrap();
    assert_eq!(prepared_statements(&database).await, 0);
    // On a direct session, in which migrations have prepared some too.
    let database = open(parse_postgres_url(&url)).await.unwrap();
    assert!(prepared_statements(&database).await > 0);
}

/// The number of statements that are prepared in a session after one with a parameter.
async fn prepared_statements(database: &Database) -> i64 {
    let count = "SELECT count(*) FROM pg_prepared_statements WHERE statement <> $1";
    let rows = database.run(count, &[Param::from("")]).await.unwrap();
    rows[0].number(0).unwrap()
}

#[tokio::test]
async fn every_type_of_value_is_written_and_read_through_a_pooler() {
    const ALL: &str = "SELECT $1, $2, $3, $4, ($5)[2], ($6)[1], ($7)[1], $8, CAST(cardinality($9) AS BIGINT), \
         array_to_string($10, ',', 'none'), array_to_string($11, ',')";
    let url = postgres().database().await;
    let pooler = PgBouncer::start(&url, "transaction", &[]);
    // Bytes as text in another form than `sqlx` reads.
    let escape =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET bytea_output = escape', current_database()); END $$";
    postgres().execute_in(&url, escape.to_owned()).await;
    let direct = open(parse_postgres_url(&url)).await.unwrap();
    let pooled = open(parse_postgres_url(pooler.url())).await.unwrap();
    let text = "it's \\ \"ä\u{202E}\n$1 '); DROP TABLE policies; --";
    let bytes: Vec<u8> = (0..=255).collect();
    let params = [
        Param::from(text),
        Param::NoText,
        i64::MIN.into(),
        Param::from(&bytes[..]),
        Param::Texts(&["", text]),
        Param::Numbers(&[-1]),
        Param::Blobs(&[&bytes]),
        Param::NoBytes,
        Param::Texts(&[]),
        Param::Texts(&["", "a \"b\" ~", ""]),
        Param::Numbers(&[i64::MIN, 7]),
    ];
    for database in [&direct, &pooled] {
        let rows = database.run(ALL, &params).await.unwrap();
        let row = &rows[0];
        assert_eq!((row.text(0).unwrap().as_str(), row.optional_text(1).unwrap()), (text, None));
        assert_eq!((row.number(2).unwrap(), row.optional_bytes(3).unwrap()), (i64::MIN, Some(bytes.clone())));
        assert_eq!((row.text(4).unwrap().as_str(), row.number(5).unwrap()), (text, -1));
        assert_eq!((row.optional_bytes(6).unwrap(), row.optional_bytes(7).unwrap()), (Some(bytes.clone()), None));
        assert_eq!(row.number(8).unwrap(), 0);
        assert_eq!(row.text(9).unwrap(), ",a \"b\" ~,");
        assert_eq!(row.text(10).unwrap(), format!("{},7", i64::MIN));
    }
}

#[tokio::test]
async fn a_direct_url_that_leads_to_a_pooler_or_another_database_is_refused() {
    let (url, other) = (postgres().database().await, postgres().database().await);
    let pooler = PgBouncer::start(&url, "transaction", &[]);
    let opened = |direct: &str| open(parse_postgres_url(pooler.url()).with_direct(parse_postgres_url(direct)));
    assert!(matches!(opened(pooler.url()).await, Err(OpenError::DirectIsPooled)));
    assert!(matches!(opened(&other).await, Err(OpenError::OtherDatabase)));
    opened(&url).await.unwrap().close().await;
}

#[tokio::test]
async fn notifications_use_the_direct_url_and_without_it_changes_are_polled() {
    const LISTENING: &str = "SELECT CAST(count(*) AS TEXT) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    const CHANGES: u32 = 12;
    let url = postgres().database().await;
    let pooler = PgBouncer::start(&url, "transaction", &[]);
    let polling = open(parse_postgres_url(pooler.url())).await.unwrap();
    let mut polled = polling.listen("policies");
    let told = open(parse_postgres_url(pooler.url()).with_direct(parse_postgres_url(&url))).await.unwrap();
    let mut announced = told.listen("policies");
    let deadline = Instant::now() + Duration::from_secs(10);
    while query(&told, LISTENING).await != "1" {
        assert!(Instant::now() < deadline, "no session listens");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A listener that only polls returns twice a second.
    let polls = Duration::from_millis(500) * CHANGES;
    for (listener, is_announced) in [(&mut announced, true), (&mut polled, false)] {
        listener.next().await;
        let began = Instant::now();
        for _ in 0..CHANGES {
            let mut work = polling.begin_lazily();
            work.notify("policies").await.unwrap();
            work.commit().await.unwrap();
            listener.next().await;
        }
        let took = began.elapsed();
        assert!(if is_announced { took < polls * 3 / 4 } else { took > polls * 3 / 4 }, "{is_announced}: {took:?}");
    }
}

/// A server whose `synchronous_commit` changes, behind a pooler.
#[tokio::test]
async fn statements_through_a_pooler_fail_on_a_server_that_may_lose_commits() {
    let server = Postgres::start(&[]).unwrap();
    let url = server.database().await;
    let pooler = PgBouncer::start(&url, "transaction", &["server_lifetime = 1"]);
    let database = open(parse_postgres_url(pooler.url())).await.unwrap();
    query(&database, "SELECT 'before'").await;
    server.execute_in(&url, "ALTER ROLE claviger SET synchronous_commit = off".to_owned()).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let error = loop {
        match database.run("UPDATE policy_head SET revision = revision + 1", &[]).await {
            Err(error) => break error,
            Ok(_) => assert!(Instant::now() < deadline, "the pooler did not open another session"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(error.had_no_effect() && error.kind() == "may_lose_commits", "{error}");
    assert!(database.begin().await.is_err());
}

const TICKETS: usize = 120;
const THREADS: usize = 6;

/// Through a pooler with three sessions for three replicas: every ticket is redeemed once, whichever session its statements get.
#[test]
fn tickets_are_redeemed_once_by_several_replicas_through_a_transaction_pooler() {
    let url = new_database(postgres());
    let pooler = PgBouncer::start(&url, "transaction", &["default_pool_size = 3"]);
    let replicas = Replicas::start(
        3,
        pooler.url(),
        &json!({"homelab/site/main": {"TOKEN": "s3cret"}}),
        &[("site", allow(&["homelab/{repo}/{branch}"], &json!({})))],
        &json!({}),
    );
    let seen = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (replicas, seen) = (&replicas, &seen);
            scope.spawn(move || {
                for number in 0..TICKETS / THREADS {
                    let (path, id) = replicas.ticket(thread + number);
                    let first = replicas.get(thread + number + 1).download(&path);
                    let second = replicas.get(thread + number + 2).download(&path);
                    seen.lock().unwrap().push((id, first.status, second.status));
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    let wrong: Vec<_> = seen.iter().filter(|(_, first, second)| (*first, *second) != (200, 410)).collect();
    assert!(wrong.is_empty(), "{wrong:?}\n{}", pooler.log());
    let redeemed = "SELECT CAST(count(*) AS TEXT) || ' ' || count(DISTINCT ticket_id) FROM audit_events WHERE type = 'ticket.redeemed'";
    let count = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { query(&open(parse_postgres_url(&url)).await.unwrap(), redeemed).await });
    assert_eq!((count, seen.len()), (format!("{TICKETS} {TICKETS}"), TICKETS));
}
