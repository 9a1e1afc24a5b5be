//! SQLite: one connection that writes, some that only read, and a durability check.

use super::failed::{Failed, OpenError};
use super::{migrations, private};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the connection waits for another process's lock on the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// The same while it starts: another process may be bringing a large file up to date, some seconds for a million events.
const STARTING_TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes of the write-ahead log that stay when it begins anew.
const JOURNAL_BYTES: &str = "16777216";
/// How soon it is tried again.
const AGAIN: Duration = Duration::from_millis(20);
/// Long readings that go on side by side; more wait for each other's next page.
const READERS: u32 = 4;
/// How long a reading waits for a connection.
const READER_WITHIN: Duration = Duration::from_secs(4);

/// What SQLite would put into temporary files stays in memory: the root of our image has no folder for them.
fn options() -> SqliteConnectOptions {
    SqliteConnectOptions::new().pragma("temp_store", "MEMORY")
}

/// A database that lives as long as the process.
pub async fn open_in_memory() -> Result<SqlitePool, OpenError> {
    let pool = connect(options().in_memory(true)).await?;
    migrate(&pool).await?;
    Ok(pool)
}

/// A file, which is made where there is none. Where several processes make it at once SQLite does not always wait: who is in
/// another one's way tries again.
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
        .journal_mode(SqliteJournalMode::Wal)
        // What a burst has made of the log beside the file is given back.
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

/// Connections to a file that is open already, which can write nothing. In WAL mode they and the writer do not wait for
/// each other. They are made when they are needed.
pub fn readers(path: &Path) -> SqlitePool {
    let options = options().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(READER_WITHIN)
        .connect_lazy_with(options.disable_statement_logging())
}

/// In one transaction that holds SQLite's write lock from its first statement on: of those who start at once on one file,
/// the first migrates and the others find it done.
async fn migrate(pool: &SqlitePool) -> Result<(), OpenError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    migrations::sqlite().run(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// One connection, kept for ever: SQLite has one writer anyway, and a database in memory lives in its connection.
async fn connect(options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        // It is a library, which does not hang up: to ask whether it is there is another round trip to its thread.
        .test_before_acquire(false)
        .connect_with(options.disable_statement_logging())
        .await
}

/// Reads the settings back, so that a file system or build without support fails at start and not after a crash.
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
