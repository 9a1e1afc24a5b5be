//! Opening SQLite: one connection for writes, read-only connections, and a check of durability.

use super::errors::{DatabaseError, OpenError};
use super::{file_mode, migrations};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long SQLite waits for another process's lock on the file before it returns `SQLITE_BUSY`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// The same at start, when another process may be migrating the file. That takes seconds for a million events.
const STARTUP_BUSY_TIMEOUT: Duration = Duration::from_mins(1);
/// Size in bytes to which the write-ahead log is truncated.
const JOURNAL_BYTES: &str = "16777216";
/// Page size in bytes. A page holds five audit events; a page of SQLite's default, 4 KiB, holds two.
const PAGE_BYTES: u32 = 8192;
/// Pages of the write-ahead log after which a checkpoint copies it into the file: 4 MiB, as with SQLite's defaults.
const CHECKPOINT_PAGES: &str = "500";
/// Pause before opening is retried.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Maximum number of read-only connections.
const MAX_READERS: u32 = 4;
/// How long a read waits for a connection.
const READER_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(4);

/// SQLite's temporary files are kept in memory, because the root file system of the image has no folder for them.
fn options() -> SqliteConnectOptions {
    SqliteConnectOptions::new().pragma("temp_store", "MEMORY")
}

/// A database in memory, lost when the process ends.
pub async fn open_in_memory() -> Result<SqlitePool, OpenError> {
    let pool = connect(options().in_memory(true)).await?;
    migrate(&pool).await?;
    Ok(pool)
}

/// Opens a file, and creates it if it does not exist. While another process creates it too, SQLite can return `SQLITE_BUSY`
/// without waiting, so opening is retried.
pub async fn open_file(path: &Path) -> Result<SqlitePool, OpenError> {
    file_mode::create_private(path).map_err(sqlx::Error::Io)?;
    let deadline = Instant::now() + STARTUP_BUSY_TIMEOUT;
    loop {
        let error = match try_open(path).await {
            Err(OpenError::Sqlx(error)) => DatabaseError(error),
            opened => return opened,
        };
        if !error.is_busy() || Instant::now() >= deadline {
            return Err(error.0.into());
        }
        sleep(RETRY_PAUSE).await;
    }
}

async fn try_open(path: &Path) -> Result<SqlitePool, OpenError> {
    let options = options()
        .filename(path)
        // For a new file. An existing file keeps its page size.
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        // Truncates the write-ahead log after a burst of writes.
        .pragma("journal_size_limit", JOURNAL_BYTES)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(STARTUP_BUSY_TIMEOUT);
    let pool = connect(options).await?;
    check_durability(&pool).await?;
    migrate(&pool).await?;
    let busy_timeout = format!("PRAGMA busy_timeout = {}", BUSY_TIMEOUT.as_millis());
    sqlx::query(AssertSqlSafe(busy_timeout)).execute(&pool).await?;
    Ok(pool)
}

/// Read-only connections to a file that is already open. In WAL mode they and the writer do not block each other.
/// They are opened on demand.
pub fn open_readers(path: &Path) -> SqlitePool {
    let options = options().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
    SqlitePoolOptions::new()
        .max_connections(MAX_READERS)
        .acquire_timeout(READER_ACQUIRE_TIMEOUT)
        .connect_lazy_with(options.disable_statement_logging())
}

/// Migrates in one transaction. `BEGIN IMMEDIATE` acquires the write lock at once, so of several processes that start at the
/// same time the first migrates and the others find nothing to do.
async fn migrate(pool: &SqlitePool) -> Result<(), OpenError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    migrations::sqlite().run(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// A pool of one permanent connection: SQLite allows one writer, and a database in memory exists only in its connection.
async fn connect(options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        // A connection to a file cannot be lost. A test would only cost a round trip to its thread.
        .test_before_acquire(false)
        .connect_with(options.disable_statement_logging())
        .await
}

/// Reads the settings back: a file system or a build of SQLite that does not support them is an error at start.
async fn check_durability(pool: &SqlitePool) -> Result<(), OpenError> {
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(pool).await?;
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(pool).await?;
    if journal != "wal" {
        return Err(OpenError::MayLoseCommits("journal_mode is not WAL"));
    }
    if synchronous < 2 {
        return Err(OpenError::MayLoseCommits("synchronous is below FULL"));
    }
    Ok(())
}
