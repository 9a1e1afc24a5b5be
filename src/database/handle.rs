//! The open database: single statements, and the beginning of units of work.

use super::connections::Connections;
use super::failed::{Failed, OpenError, within};
use super::listener::Listener;
use super::param::Param;
use super::pool::Pool;
use super::query::Query;
use super::statement::{self, Row, Scope, Sql};
use super::work::Work;
use super::{insertion, postgres, sqlite};
use crate::config::database::Url;
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

/// An open, migrated database.
#[derive(Debug, Clone)]
pub struct Database {
    pub(super) pool: Pool,
    /// Connections for long reads, so that these do not delay writes: read-only ones to an SQLite file. A database in memory
    /// has a single connection.
    pub(super) reader: Pool,
}

impl Database {
    /// Opens the database, creates a missing SQLite file, checks that commits are durable, and migrates the schema.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(url: &Url) -> Result<Self, OpenError> {
        let pool = match url {
            Url::SqliteMemory => Pool::Sqlite(sqlite::open_in_memory().await?),
            Url::SqliteFile(path) => Pool::Sqlite(sqlite::open_file(path).await?),
            Url::Postgres(url) => Pool::Postgres(postgres::open(url).await?),
        };
        let reader = match url {
            Url::SqliteFile(path) => Pool::Sqlite(sqlite::readers(path)),
            Url::SqliteMemory | Url::Postgres(_) => pool.clone(),
        };
        Ok(Self { pool, reader })
    }

    /// Whether it is a PostgreSQL server. It has other indices than SQLite.
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
            Pool::Postgres(connections) => within(run(connections, sql.postgres, params)).await,
        }
    }

    /// Runs one statement that changes nothing, so that it may be sent again.
    ///
    /// # Errors
    /// When it fails.
    pub async fn look_up(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, Failed> {
        match &self.pool {
            Pool::Sqlite(pool) => statement::on_sqlite(pool, sql, params).await,
            Pool::Postgres(connections) => within(look_up(connections, SqlStr::from_static(sql), params)).await,
        }
    }

    /// Inserts rows in one statement: all of them or none. `into` is `table (columns)`, and `params` are the values, row
    /// after row.
    ///
    /// # Errors
    /// When it fails.
    pub async fn insert(&self, into: &'static str, columns: usize, params: &[Param<'_>]) -> Result<(), Failed> {
        match &self.pool {
            Pool::Sqlite(pool) => insertion::into_sqlite(pool, into, columns, params).await.map(|_| ()),
            Pool::Postgres(connections) => within(insert(connections, into, columns, params)).await,
        }
    }

    /// Reads rows without delaying writers.
    ///
    /// # Errors
    /// When it fails.
    pub async fn read(&self, query: &Query<'_>) -> Result<Vec<Row>, Failed> {
        let (sql, params) = query.parts();
        let sql = AssertSqlSafe(sql);
        match &self.reader {
            Pool::Sqlite(pool) => statement::on_sqlite(pool, sql, params).await,
            Pool::Postgres(connections) => within(look_up(connections, sql.into_sql_str(), params)).await,
        }
    }

    /// Begins a unit of work.
    ///
    /// # Errors
    /// The database cannot be reached.
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

    /// Closes every connection. Later statements fail.
    pub async fn close(&self) {
        for pool in [&self.reader, &self.pool] {
            match pool {
                Pool::Sqlite(pool) => pool.close().await,
                Pool::Postgres(connections) => connections.close().await,
            }
        }
    }
}

async fn run(connections: &Connections, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, Failed> {
    let mut connection = connections.take_tested().await?;
    let rows = statement::on_postgres(&mut connection, Scope::Alone, SqlStr::from_static(sql), params).await;
    connections.keep_after(connection, &rows);
    rows
}

async fn insert(connections: &Connections, into: &str, columns: usize, params: &[Param<'_>]) -> Result<(), Failed> {
    let mut connection = connections.take_tested().await?;
    let inserted = insertion::into_postgres(&mut connection, Scope::Alone, into, columns, params).await;
    connections.keep_after(connection, &inserted);
    inserted
}

async fn look_up(connections: &Connections, sql: SqlStr, params: &[Param<'_>]) -> Result<Vec<Row>, Failed> {
    let mut connection = connections.take().await?;
    let mut rows = statement::on_postgres(&mut connection, Scope::Alone, sql.clone(), params).await;
    if connection.untested && rows.as_ref().is_err_and(|failed| !failed.is_certain()) {
        drop(connection);
        connection = connections.take_tested().await?;
        rows = statement::on_postgres(&mut connection, Scope::Alone, sql, params).await;
    }
    connections.keep_after(connection, &rows);
    rows
}
