//! Look-ups of tickets on PostgreSQL that wait at the same time share a statement.

use super::*;
use crate::rig::pgbouncer::PgBouncer;
use futures_util::future::join_all;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use std::future::poll_fn;
use std::pin::pin;

const LOOK_UPS_ON_SERVER: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
const LOCK: &str = "BEGIN; LOCK TABLE tickets IN ACCESS EXCLUSIVE MODE";

async fn execute(connection: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

/// Waits until look-ups wait for the lock, and returns their number at the server.
async fn look_ups_on_server(connection: &mut PgConnection) -> i64 {
    let count = async |connection: &mut PgConnection| -> i64 {
        sqlx::query(LOOK_UPS_ON_SERVER).fetch_one(connection).await.unwrap().get(0)
    };
    while count(connection).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    count(connection).await
}

/// A database, and a replica's URL to it: direct, and through a pooler.
async fn databases() -> [(String, TestDatabase, Option<PgBouncer>); 2] {
    let direct = postgres().database().await;
    let database = |url: &str| TestDatabase {
        url: Url::Postgres(parse_postgres_url(url)),
        store: TicketStorage::Database,
        _folder: None,
    };
    let behind = postgres().database().await;
    let pooler = PgBouncer::start(&behind, "transaction", &[]);
    let pooled = database(pooler.url());
    [(direct.clone(), database(&direct), None), (behind, pooled, Some(pooler))]
}

#[tokio::test]
async fn look_ups_that_wait_share_statements_and_each_gets_its_own_ticket() {
    for (url, db, _pooler) in databases().await {
        let replica = db.replica().await;
        let large = TicketToken::random().unwrap();
        let value = "x".repeat(100_000);
        assert!(replica.issue(&ticket(&large, "large"), &large, &bundle_of(&value)).await);
        let waiting = [replica.new_ticket("a").await, replica.new_ticket("b").await];
        let revoked = replica.new_ticket("c").await;
        assert!(replica.end(&revoked, FinalState::Revoked).await);

        let mut other = PgConnection::connect(&url).await.unwrap();
        execute(&mut other, LOCK).await;
        let round = async |_| {
            let strangers: Vec<_> = (0..20).map(|_| TicketToken::random().unwrap()).collect();
            let strangers = join_all(strangers.iter().map(|stranger| replica.rejection(stranger, start())));
            let waiting = join_all(waiting.iter().map(|token| replica.open_bundle(token, start())));
            let ended = replica.rejection(&revoked, start());
            tokio::join!(strangers, waiting, ended, replica.open_bundle(&large, start()))
        };
        let (results, ()) = tokio::join!(join_all((0..5).map(round)), async {
            let statements = look_ups_on_server(&mut other).await;
            assert!((1..=2).contains(&statements), "{statements} statements for 120 look-ups");
            execute(&mut other, "COMMIT").await;
        });
        for (strangers, opened, ended, opened_large) in results {
            assert!(strangers.iter().all(|rejection| *rejection == Rejection::Unknown));
            assert!(opened.iter().all(|opened| *opened == bundle()));
            assert_eq!((ended, opened_large), (Rejection::Revoked, bundle_of(&value)));
        }
    }
}

#[tokio::test]
async fn a_failed_statement_fails_each_of_its_look_ups_and_no_later_one() {
    for (url, db, _pooler) in databases().await {
        let replica = db.replica().await;
        let token = replica.new_ticket("a").await;
        let mut other = PgConnection::connect(&url).await.unwrap();
        execute(&mut other, LOCK).await;
        // The server ends the statements at its lock_timeout.
        let results = join_all((0..30).map(|_| replica.tickets.find_redeemable(&token, None, start()))).await;
        assert!(results.iter().all(|result| matches!(result, Err(RedeemError::Unavailable))));
        execute(&mut other, "COMMIT").await;
        assert_eq!(replica.open_bundle(&token, start()).await, bundle());
    }
}

/// The number of polls of a future that does not end within a second.
async fn polls_in_a_second(future: impl Future) -> usize {
    let (mut future, mut polls) = (pin!(future), 0);
    let counted = poll_fn(|context| {
        polls += 1;
        future.as_mut().poll(context)
    });
    assert!(tokio::time::timeout(Duration::from_secs(1), counted).await.is_err(), "the statement waits for the lock");
    polls
}

#[tokio::test]
async fn a_look_up_in_the_statement_of_another_waits_without_polling() {
    let (url, db, _pooler) = databases().await.into_iter().next().unwrap();
    let replica = db.replica().await;
    let token = replica.new_ticket("a").await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    execute(&mut other, LOCK).await;
    // Both are in one statement, and there could be a second one.
    let look_up = || polls_in_a_second(replica.tickets.find_redeemable(&token, None, start()));
    let (first, second) = tokio::join!(look_up(), look_up());
    assert!(first < 100 && second < 100, "{first} and {second} polls");
}

#[tokio::test]
async fn a_look_up_that_is_abandoned_does_not_fail_the_others() {
    let (url, db, _pooler) = databases().await.into_iter().next().unwrap();
    let replica = Arc::new(db.replica().await);
    let token = Arc::new(replica.new_ticket("a").await);
    let mut other = PgConnection::connect(&url).await.unwrap();
    execute(&mut other, LOCK).await;
    let look_ups: Vec<_> = (0..40)
        .map(|_| {
            let (replica, token) = (replica.clone(), token.clone());
            tokio::spawn(async move { replica.open_bundle(&token, start()).await })
        })
        .collect();
    look_ups_on_server(&mut other).await;
    // Those that sent the statements are among them.
    look_ups[..20].iter().for_each(tokio::task::JoinHandle::abort);
    execute(&mut other, "COMMIT").await;
    for look_up in look_ups.into_iter().skip(20) {
        assert_eq!(look_up.await.unwrap(), bundle());
    }
}
