//! SQLite: one connection that writes, several that only read, and a check of durability.

use super::failed::{Failed, OpenError};
use super::{migrations, private};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long to wait for another process's lock on the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// The same at start: another process may be migrating a large file, which takes seconds for a million events.
const STARTING_TIMEOUT: Duration = Duration::from_mins(1);
/// Size in bytes to which the write-ahead log is truncated.
const JOURNAL_BYTES: &str = "16777216";
/// Page size in bytes: five audit events share a page, where two shared one of SQLite's default of 4 KiB.
const PAGE_BYTES: u32 = 8192;
/// Pages of the write-ahead log after which it is copied into the file: 4 MiB, as with SQLite's defaults.
const CHECKPOINT_PAGES: &str = "500";
/// Pause before another attempt.
const AGAIN: Duration = Duration::from_millis(20);
/// Maximum number of concurrent long reads; further ones wait between pages.
const READERS: u32 = 4;
/// How long a read waits for a connection.
const READER_WITHIN: Duration = Duration::from_secs(4);

/// SQLite's temporary files are kept in memory: the root file system of the image has no folder for them.
fn options() -> SqliteConnectOptions {
    SqliteConnectOptions::new().pragma("temp_store", "MEMORY")
}

/// A database in memory, lost when the process ends.
pub async fn open_in_memory() -> Result<SqlitePool, OpenError> {
    let pool = connect(options().in_memory(true)).await?;
    migrate(&pool).await?;
    Ok(pool)
}

/// Opens a file, and creates it if it does not exist. If several processes create it at once, SQLite does not
/// always wait, so a conflict is retried.
pub async fn open_file(path: &Path) -> Result<SqlitePool, OpenError> {
    private::make(path).map_err(sqlx::Error::Io)?;
    let deadline = Instant::now() + STARTING_TIMEOUT;
    loop {
        let failed = match try_file(path).await {
            Err(OpenError::Sqlx(error)) => Failed(error),
            opened => return opened,
        };
        if !failed.is_busy() || Instant::now() >= deadline {
            return Err(failed.0.into());
        }
        sleep(AGAIN).await;
    }
}

async fn try_file(path: &Path) -> Result<SqlitePool, OpenError> {
    let options = options()
        .filename(path)
        // Of a new file; an existing one keeps its page size.
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        // Frees the space of the write-ahead log after a burst.
        .pragma("journal_size_limit", JOURNAL_BYTES)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(STARTING_TIMEOUT);
    let pool = connect(options).await?;
    check_durability(&pool).await?;
    migrate(&pool).await?;
    let usual = format!("PRAGMA busy_timeout = {}", BUSY_TIMEOUT.as_millis());
    sqlx::query(AssertSqlSafe(usual)).execute(&pool).await?;
    Ok(pool)
}

/// Read-only connections to a file that is already open. In WAL mode they and the writer do not block each other.
/// They are opened on demand.
pub fn readers(path: &Path) -> SqlitePool {
    let options = options().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(READER_WITHIN)
        .connect_lazy_with(options.disable_statement_logging())
}

/// One transaction that holds SQLite's write lock from its first statement: of several processes that start at
/// once, the first migrates and the others find the migrations done.
async fn migrate(pool: &SqlitePool) -> Result<(), OpenError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    migrations::sqlite().run(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// One permanent connection: SQLite has one writer anyway, and a database in memory exists only in its connection.
async fn connect(options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        // SQLite is a library and cannot disconnect; a test would only add a round trip to its thread.
        .test_before_acquire(false)
        .connect_with(options.disable_statement_logging())
        .await
}

/// Reads the settings back, so that a file system or build without support fails at start instead of after a
/// crash.
async fn check_durability(pool: &SqlitePool) -> Result<(), OpenError> {
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(pool).await?;
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(pool).await?;
    if journal != "wal" {
        return Err(OpenError::MayForget("journal_mode is not WAL"));
    }
    if synchronous < 2 {
        return Err(OpenError::MayForget("synchronous is below FULL"));
    }
    Ok(())
}
