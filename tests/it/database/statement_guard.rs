//! Behind a pooler, sessions and servers change unnoticed: the checks of a direct connection are made for each statement.

use super::*;
use crate::rig::claviger::wait_until;
use crate::rig::pgbouncer::PgBouncer;
use crate::rig::postgres::{Postgres, host_and_port, parse_postgres_url};
use crate::rig::tcp_relay::TcpRelay;
use std::time::{Duration, Instant};

const WRITE: &str = "UPDATE policy_head SET revision = revision + 1";
const MAY_LOSE_COMMITS: Option<&str> = Some("may_lose_commits");

/// Writes, alone and in a unit of work, until the result is this kind of error or success.
async fn write_until(database: &Database, expected: Option<&str>, why: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let alone = database.run(WRITE, &[]).await.map(|_| ());
        let together = async {
            let mut work = database.begin_lazily();
            work.lock(&[1]).await?;
            work.run(WRITE, &[]).await?;
            work.commit().await
        };
        let results = [alone, together.await];
        if results.iter().all(|result| result.as_ref().err().map(claviger::database::DatabaseError::kind) == expected) {
            let certain = results
                .iter()
                .all(|result| result.as_ref().err().is_none_or(claviger::database::DatabaseError::had_no_effect));
            assert!(certain, "{why}: {results:?}");
            return;
        }
        assert!(Instant::now() < deadline, "{why}: expected {expected:?}, not {results:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Databases behind a pooler, without and with `database.allowDataLoss`.
async fn opened(pooler: &PgBouncer) -> [Database; 2] {
    let strict = open(parse_postgres_url(pooler.url())).await.unwrap();
    [strict, open(parse_postgres_url(pooler.url()).allowing_data_loss(true)).await.unwrap()]
}

#[tokio::test]
async fn open_sessions_through_a_pooler_fail_after_a_setting_allows_losing_commits() {
    let server = Postgres::start(&[]).unwrap();
    for mode in ["session", "transaction"] {
        let pooler = PgBouncer::start(&server.database().await, mode, &[]);
        let [strict, lenient] = opened(&pooler).await;
        for (setting, allowed) in
            [("fsync", MAY_LOSE_COMMITS), ("full_page_writes", MAY_LOSE_COMMITS), ("synchronous_commit", None)]
        {
            let why = format!("{setting} in {mode} mode");
            server.set(setting, "off");
            write_until(&strict, MAY_LOSE_COMMITS, &why).await;
            write_until(&lenient, allowed, &why).await;
            server.set(setting, "on");
            write_until(&strict, None, &why).await;
            write_until(&lenient, None, &why).await;
        }
    }
}

#[tokio::test]
async fn statements_fail_after_the_pooler_leads_to_a_standby() {
    let primary = Postgres::start(&[]).unwrap();
    let standby = primary.standby("standby");
    let port = |server: &Postgres, url: &str| -> u16 {
        host_and_port(&server.url_of(url)).rsplit_once(':').unwrap().1.parse().unwrap()
    };
    for mode in ["session", "transaction"] {
        let url = primary.database().await;
        let relay = TcpRelay::to(port(&primary, &url));
        let through = url.replace(&host_and_port(&url), &format!("127.0.0.1:{}", relay.port));
        let pooler = PgBouncer::start(&through, mode, &["server_login_retry = 1"]);
        let databases = opened(&pooler).await;
        let written = primary.query("SELECT CAST(pg_current_wal_lsn() AS TEXT)");
        let replayed = format!("SELECT CAST(pg_last_wal_replay_lsn() >= CAST('{written}' AS pg_lsn) AS TEXT)");
        wait_until("the standby", || standby.query(&replayed) == "true");
        for (server, expected) in [(&primary, None), (&standby, MAY_LOSE_COMMITS), (&primary, None)] {
            relay.redirect_to(port(server, &url));
            for database in &databases {
                write_until(database, expected, mode).await;
            }
        }
    }
}
