//! PostgreSQL: a pool of connections, each with checked durability and bounded waits.

use super::failed::OpenError;
use super::migrations;
use crate::config::postgres_url::PostgresUrl;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use std::time::Duration;

/// Audit events are written by one task and policies rarely; one more connection listens.
const CONNECTIONS: u32 = 8;
/// Time limit for getting a connection from the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// Time limit for the first connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The server's own time limits, so that a statement abandoned by this process does not continue there and hold a
/// lock.
const BOUNDS: &str = "SET statement_timeout = '4s'; SET lock_timeout = '3s'; \
     SET idle_in_transaction_session_timeout = '5s'";

/// Query plans are made while tables are small, and are kept. A plan with a table scan or a bitmap scan reads all
/// rows that have ended since the last vacuum. An index scan marks these rows, and later scans skip them. A
/// remaining table scan has such a high estimated cost that it would be JIT-compiled each time.
const PLANS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off";

const DURABILITY: &str = "SELECT current_setting('fsync'), current_setting('full_page_writes'), \
     current_setting('synchronous_commit'), pg_is_in_recovery()";

/// Connects, checks durability, migrates.
pub async fn open(url: &PostgresUrl) -> Result<PgPool, OpenError> {
    open_as(url, true).await
}

/// Connects and checks.
pub async fn connect(url: &PostgresUrl) -> Result<PgPool, OpenError> {
    open_as(url, false).await
}

async fn open_as(url: &PostgresUrl, migrates: bool) -> Result<PgPool, OpenError> {
    let options = url.options()?.disable_statement_logging();
    let first = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options));
    let mut first = first.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    if let Some(why) = may_forget(&mut first).await? {
        return Err(OpenError::MayForget(why));
    }
    if migrates {
        migrations::postgres().run(&mut first).await?;
    }
    first.close().await?;
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async move {
                // Checked for each connection: settings change, and a name may later resolve to another server.
                if let Some(why) = may_forget(connection).await? {
                    return Err(sqlx::Error::Configuration(why.into()));
                }
                sqlx::raw_sql(BOUNDS).execute(&mut *connection).await?;
                sqlx::raw_sql(PLANS).execute(connection).await?;
                Ok(())
            })
        })
        .connect_with(options)
        .await?;
    Ok(pool)
}

/// Why a crash or failover may lose commits.
async fn may_forget(connection: &mut PgConnection) -> Result<Option<&'static str>, sqlx::Error> {
    let (fsync, full_page_writes, synchronous_commit, in_recovery): (String, String, String, bool) =
        sqlx::query_as(DURABILITY).fetch_one(connection).await?;
    Ok(if fsync != "on" {
        Some("fsync is off")
    } else if full_page_writes != "on" {
        Some("full_page_writes is off")
    } else if !matches!(synchronous_commit.as_str(), "on" | "remote_apply") {
        // The values in between guarantee less than a failover needs: a local write, or a remote write without a
        // flush.
        Some("synchronous_commit is neither on nor remote_apply")
    } else if in_recovery {
        Some("the server is a standby")
    } else {
        None
    })
}
