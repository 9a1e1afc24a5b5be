//! THE POOL: the SQLite connections, their durability, and the migrations. Knows no table's meaning.

mod migrations;

use crate::config::database::Url;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use std::time::Duration;

/// How long a connection waits for another process's lock on the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// An open, migrated database.
#[derive(Debug, Clone)]
pub struct Database {
    writer: SqlitePool,
}

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be opened or asked.
    #[error("the database cannot be opened")]
    Sqlx(#[from] sqlx::Error),
    /// Its schema cannot be brought up to date.
    #[error("the database's schema cannot be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// What it promised to make durable might be lost in a crash.
    #[error("the database may forget: {0}")]
    MayForget(&'static str),
}

impl Database {
    /// Opens the database, creates the file where there is none, checks that it forgets nothing, and migrates it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(url: &Url) -> Result<Self, OpenError> {
        let options = match url {
            Url::SqliteMemory => SqliteConnectOptions::new().in_memory(true),
            Url::SqliteFile(path) => SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(BUSY_TIMEOUT),
        };
        // One connection, kept for ever: SQLite has one writer anyway, and a database in memory lives in its connection.
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await?;
        let database = Self { writer };
        if matches!(url, Url::SqliteFile(_)) {
            database.check_durability().await?;
        }
        database.migrate().await?;
        Ok(database)
    }

    /// In one transaction that holds SQLite's write lock from its first statement on: of those who start at once on one file,
    /// the first migrates and the others find it done.
    async fn migrate(&self) -> Result<(), OpenError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        migrations::migrator().run(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// The connection that writes.
    #[must_use]
    pub fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// What was set is asked back: a file system or build that cannot do it says so here and not after a crash.
    async fn check_durability(&self) -> Result<(), OpenError> {
        let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&self.writer).await?;
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&self.writer).await?;
        if journal != "wal" {
            return Err(OpenError::MayForget("journal_mode is not WAL"));
        }
        if synchronous < 2 {
            return Err(OpenError::MayForget("synchronous is below FULL"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn opens_twice_and_keeps_what_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = Url::SqliteFile(folder.path().join("claviger.db"));
        for round in 0..2_i64 {
            let database = Database::open(&url).await.expect("opens");
            let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_events")
                .fetch_one(database.writer())
                .await
                .expect("the table");
            assert_eq!(rows, round);
            sqlx::query("INSERT INTO audit_events (chain, seq, prev_hash, hash, time, type, outcome, event) VALUES ('c', ?, '', '', '', '', '', '')")
                .bind(round)
                .execute(database.writer())
                .await
                .expect("written");
            database.writer().close().await;
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = Url::SqliteFile(folder.path().join("no/such/claviger.db"));
        assert!(matches!(Database::open(&url).await, Err(OpenError::Sqlx(_))));
    }
}
