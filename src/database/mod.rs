//! THE POOL: SQLite or PostgreSQL, their durability, the migrations, and the unit of work. Knows no table's meaning.

mod listener;
mod migrations;
mod postgres;
mod sqlite;
mod statement;
mod work;

use crate::config::database::Url;
use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;
use std::time::Duration;

pub use listener::Listener;
pub use statement::{Param, Row};
pub use work::Work;

/// How long a PostgreSQL server may take over one step. SQLite is a library and does not fall silent.
const PATIENCE: Duration = Duration::from_secs(4);

/// An open, migrated database.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool,
}

#[derive(Debug, Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
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

/// A statement failed, or it is not known whether it did.
#[derive(Debug, thiserror::Error)]
#[error("the database failed: {}", self.kind())]
pub struct Failed(#[from] sqlx::Error);

impl Failed {
    /// A row that every version of ours has written is not there.
    #[must_use]
    pub const fn no_row() -> Self {
        Self(sqlx::Error::RowNotFound)
    }

    /// A word for the log.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.0 {
            sqlx::Error::Database(_) => "database",
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) => "io",
            sqlx::Error::PoolTimedOut => "timeout",
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => "closed",
            sqlx::Error::RowNotFound => "row",
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnIndexOutOfBounds { .. } => "column",
            _ => "other",
        }
    }
}

impl Database {
    /// Opens the database, makes the file where there is none, checks that it forgets nothing, and migrates it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(url: &Url) -> Result<Self, OpenError> {
        let pool = match url {
            Url::SqliteMemory => Pool::Sqlite(sqlite::open_in_memory().await?),
            Url::SqliteFile(path) => Pool::Sqlite(sqlite::open_file(path).await?),
            Url::Postgres(url) => Pool::Postgres(postgres::open(url).await?),
        };
        Ok(Self { pool })
    }

    /// Runs one statement, which is a transaction of its own.
    ///
    /// # Errors
    /// When it fails.
    pub async fn run(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, Failed> {
        match &self.pool {
            Pool::Sqlite(pool) => statement::on_sqlite(pool, sql, params).await,
            Pool::Postgres(pool) => within(statement::on_postgres(pool, sql, params)).await,
        }
    }

    /// Inserts rows in one statement: all of them or none. `into` is `table (columns)`, and `params` are the values, row
    /// after row.
    ///
    /// # Errors
    /// When it fails.
    pub async fn insert(&self, into: &'static str, columns: usize, params: &[Param<'_>]) -> Result<(), Failed> {
        let sql = |named| statement::insertion(into, columns, params.len() / columns, named);
        match &self.pool {
            Pool::Sqlite(pool) => statement::on_sqlite(pool, sql(false), params).await,
            Pool::Postgres(pool) => within(statement::on_postgres(pool, sql(true), params)).await,
        }
        .map(|_| ())
    }

    /// Begins a unit of work.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn begin(&self) -> Result<Work, Failed> {
        Work::begin(&self.pool).await
    }

    /// Listens for changes that any replica makes; needs a runtime.
    #[must_use]
    pub fn listen(&self, channel: &'static str) -> Listener {
        Listener::start(&self.pool, channel)
    }

    /// Gives every connection back. What is asked afterwards fails.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
    }
}

/// Gives up on a server that does not answer.
async fn within<T>(step: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    match tokio::time::timeout(PATIENCE, step).await {
        Ok(result) => result,
        Err(_) => Err(Failed(sqlx::Error::PoolTimedOut)),
    }
}

#[cfg(test)]
mod tests;
