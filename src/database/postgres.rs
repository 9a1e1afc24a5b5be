//! PostgreSQL: a pool of connections, each with checked durability and bounded waits.

use super::failed::OpenError;
use super::migrations;
use crate::config::postgres_url::PostgresUrl;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use std::time::Duration;

/// Audit events are written by one task and policies seldom; one more connection listens.
const CONNECTIONS: u32 = 8;
/// How long a connection is waited for.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the first connection is waited for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The server gives up what takes longer, so that nothing that was abandoned here goes on there and holds a lock.
const BOUNDS: &str = "SET statement_timeout = '4s'; SET lock_timeout = '3s'; \
     SET idle_in_transaction_session_timeout = '5s'";

/// Plans are made when tables are small, and kept. One that scans a table or makes a bitmap of an index walks over all the rows
/// that have ended since the last vacuum; one that goes through an index marks them, and the next does not see them again.
/// What has to scan all the same looks so dear that it would be compiled each time.
const PLANS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off";

const DURABILITY: &str = "SELECT current_setting('fsync'), current_setting('full_page_writes'), \
     current_setting('synchronous_commit'), pg_is_in_recovery()";

/// Connects, checks, migrates.
pub async fn open(url: &PostgresUrl) -> Result<PgPool, OpenError> {
    let options = url.options()?.disable_statement_logging();
    let first = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options));
    let mut first = first.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    if let Some(why) = may_forget(&mut first).await? {
        return Err(OpenError::MayForget(why));
    }
    migrations::postgres().run(&mut first).await?;
    first.close().await?;
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async move {
                // Settings change, and behind one name there may be another server tomorrow.
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

/// Why what is committed might be lost in a crash or a failover.
async fn may_forget(connection: &mut PgConnection) -> Result<Option<&'static str>, sqlx::Error> {
    let (fsync, full_page_writes, synchronous_commit, in_recovery): (String, String, String, bool) =
        sqlx::query_as(DURABILITY).fetch_one(connection).await?;
    Ok(if fsync != "on" {
        Some("fsync is off")
    } else if full_page_writes != "on" {
        Some("full_page_writes is off")
    } else if !matches!(synchronous_commit.as_str(), "on" | "remote_apply") {
        // The levels between promise what is written here, or not yet flushed there: less than a failover asks for.
        Some("synchronous_commit is neither on nor remote_apply")
    } else if in_recovery {
        Some("the server is a standby")
    } else {
        None
    })
}
