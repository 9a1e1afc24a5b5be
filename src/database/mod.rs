//! THE POOL: SQLite or PostgreSQL, their durability, the migrations, and the unit of work. Knows no table's meaning.

mod insertion;
mod listener;
mod machine;
mod migrations;
mod postgres;
mod private;
mod query;
mod spare_connections;
mod sqlite;
mod statement;
mod step;
mod work;

use crate::config::database::Url;
use spare_connections::Connections;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::sqlite::SqlitePool;
use std::io;
use std::time::Duration;

pub use listener::Listener;
pub use machine::{ServerTime, Space, space};
pub use query::Query;
pub use statement::{Param, Row, Sql};
pub use step::{Step, StepRunner};
pub use work::{CommitError, Work};

/// How long a PostgreSQL server may take over one step. SQLite is a library and does not fall silent.
const PATIENCE: Duration = Duration::from_secs(4);

/// An open, migrated database.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool,
    /// What long readings are asked of, so that they hold up no write: connections of their own to an SQLite file, which
    /// has one for everything else. A database in memory is its one connection.
    reader: Pool,
}

#[derive(Debug, Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(Connections),
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
            sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => "timeout",
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) => "io",
            sqlx::Error::PoolTimedOut => "timeout",
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => "closed",
            sqlx::Error::RowNotFound => "row",
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnIndexOutOfBounds { .. } => "column",
            _ => "other",
        }
    }

    /// Whether what failed has certainly not been done. Otherwise it may have been done, or may be yet.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        match &self.0 {
            sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
                // A server that ends the session says so in the midst of things.
                Some(error) => error.severity() == PgSeverity::Error,
                // SQLite: neither a disk that failed, nor a file that is broken.
                None => !self.is_one_of(&[], &[10, 11]),
            },
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
            _ => false,
        }
    }

    /// Whether a row with the same key is there already.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        matches!(&self.0, sqlx::Error::Database(error) if error.is_unique_violation())
    }

    /// Whether the database refused what it was given, and not to work at all: it will refuse that again, and take others.
    #[must_use]
    pub fn is_of_the_data(&self) -> bool {
        // Data exceptions, violated constraints, exceeded limits; of SQLite: too big, constraint, mismatch, out of range.
        !self.is_duplicate() && self.is_one_of(&["22", "23", "54"], &[18, 19, 20, 25])
    }

    /// Whether several were in each other's way: the same again may well be taken.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.is_duplicate() || self.is_one_of(&["40"], &[])
    }

    /// Whether another process has the file of an SQLite database, and SQLite did not wait for it.
    fn is_busy(&self) -> bool {
        self.is_one_of(&[], &[5])
    }

    fn is_one_of(&self, classes: &[&str], sqlite: &[i64]) -> bool {
        let sqlx::Error::Database(error) = &self.0 else { return false };
        let code = error.code().unwrap_or_default();
        if error.try_downcast_ref::<PgDatabaseError>().is_some() {
            classes.iter().any(|class| code.starts_with(class))
        } else {
            code.parse::<i64>().is_ok_and(|code| sqlite.contains(&(code & 0xFF)))
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
            Url::Postgres(url) => Pool::Postgres(Connections::new(postgres::open(url).await?)),
        };
        let reader = match url {
            Url::SqliteFile(path) => Pool::Sqlite(sqlite::readers(path)),
            Url::SqliteMemory | Url::Postgres(_) => pool.clone(),
        };
        Ok(Self { pool, reader })
    }

    /// Whether it is a PostgreSQL server, which has other indices than an SQLite database has.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        matches!(self.pool, Pool::Postgres(_))
    }

    /// Runs one statement, which is a transaction of its own.
    ///
    /// # Errors
    /// When it fails.
    pub async fn run(&self, sql: impl Into<Sql>, params: &[Param<'_>]) -> Result<Vec<Row>, Failed> {
        let sql = sql.into();
        match &self.pool {
            Pool::Sqlite(pool) => statement::on_sqlite(pool, sql.sqlite, params).await,
            Pool::Postgres(spare_connections) => {
                within(statement::on_postgres(&spare_connections.pool, sql.postgres, params)).await
            }
        }
    }

    /// Runs one statement that changes nothing, so that it may be sent again.
    ///
    /// # Errors
    /// When it fails.
    pub async fn look_up(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, Failed> {
        match &self.pool {
            Pool::Sqlite(pool) => statement::on_sqlite(pool, sql, params).await,
            Pool::Postgres(spare_connections) => within(look_up(spare_connections, sql, params)).await,
        }
    }

    /// Inserts rows in one statement: all of them or none. `into` is `table (columns)`, and `params` are the values, row
    /// after row.
    ///
    /// # Errors
    /// When it fails.
    pub async fn insert(&self, into: &'static str, columns: usize, params: &[Param<'_>]) -> Result<(), Failed> {
        match &self.pool {
            Pool::Sqlite(pool) => insertion::into_sqlite(pool, into, columns, params).await,
            Pool::Postgres(spare_connections) => {
                within(insertion::into_postgres(&spare_connections.pool, into, columns, params)).await
            }
        }
    }

    /// Asks for rows without holding up whoever writes.
    ///
    /// # Errors
    /// When it fails.
    pub async fn read(&self, query: &Query<'_>) -> Result<Vec<Row>, Failed> {
        let (sql, params) = query.parts();
        let sql = AssertSqlSafe(sql);
        match &self.reader {
            Pool::Sqlite(pool) => statement::on_sqlite(pool, sql, params).await,
            Pool::Postgres(spare_connections) => {
                within(statement::on_postgres(&spare_connections.pool, sql, params)).await
            }
        }
    }

    /// Begins a unit of work.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn begin(&self) -> Result<Work, Failed> {
        Work::begin(&self.pool).await
    }

    /// A unit of work that begins with its first statement.
    #[must_use]
    pub fn begin_later(&self) -> Work {
        Work::later(&self.pool)
    }

    /// Listens for changes that any replica makes; needs a runtime.
    #[must_use]
    pub fn listen(&self, channel: &'static str) -> Listener {
        Listener::start(&self.pool, channel)
    }

    /// Gives every connection back. What is asked afterwards fails.
    pub async fn close(&self) {
        for pool in [&self.reader, &self.pool] {
            match pool {
                Pool::Sqlite(pool) => pool.close().await,
                Pool::Postgres(spare_connections) => spare_connections.close().await,
            }
        }
    }
}

async fn look_up(spare_connections: &Connections, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, Failed> {
    let mut connection = spare_connections.take().await?;
    let mut rows = statement::on_postgres(&mut *connection, sql, params).await;
    if connection.untested && rows.as_ref().is_err_and(|failed| !failed.is_certain()) {
        connection = spare_connections.take_tested().await?;
        rows = statement::on_postgres(&mut *connection, sql, params).await;
    }
    if rows.is_ok() {
        spare_connections.keep(connection);
    }
    rows
}

/// Gives up on a server that does not answer.
async fn within<T>(step: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    match tokio::time::timeout(PATIENCE, step).await {
        Ok(result) => result,
        Err(_) => Err(Failed(sqlx::Error::Io(io::ErrorKind::TimedOut.into()))),
    }
}

#[cfg(test)]
mod tests;
