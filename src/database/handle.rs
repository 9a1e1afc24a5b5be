//! The open database: single statements, and the beginning of units of work.

use super::errors::{DatabaseError, OpenError, with_time_limit};
use super::insert::{insert_on_postgres, insert_on_sqlite};
use super::listener::Listener;
use super::param::Param;
use super::pool::Pool;
use super::postgres_pool::PostgresPool;
use super::query::Query;
use super::statement::{Row, Scope, Sql, run_on_postgres, run_on_sqlite};
use super::unit_of_work::UnitOfWork;
use super::{postgres, sqlite};
use crate::config::database::Url;
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

/// An open, migrated database.
#[derive(Debug, Clone)]
pub struct Database {
    pub(super) pool: Pool,
    /// For long reads, so that they do not delay writes. For an SQLite file these connections are read-only. For PostgreSQL and
    /// for a database in memory, which has a single connection, this is `pool`.
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
            Url::SqliteFile(path) => Pool::Sqlite(sqlite::open_readers(path)),
            Url::SqliteMemory | Url::Postgres(_) => pool.clone(),
        };
        Ok(Self { pool, reader })
    }

    /// Whether this is a PostgreSQL server, whose tables have other indices than in SQLite.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        matches!(self.pool, Pool::Postgres(_))
    }

    /// Runs one statement in its own transaction, and returns its rows.
    ///
    /// # Errors
    /// When it fails.
    pub async fn run(&self, sql: impl Into<Sql>, params: &[Param<'_>]) -> Result<Vec<Row>, DatabaseError> {
        let sql = sql.into();
        match &self.pool {
            Pool::Sqlite(pool) => run_on_sqlite(pool, sql.sqlite, params).await,
            Pool::Postgres(pool) => with_time_limit(run(pool, sql.postgres, params)).await,
        }
    }

    /// Runs one statement that changes nothing. If the connection is broken, the statement is repeated on another one.
    ///
    /// # Errors
    /// When it fails.
    pub async fn look_up(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, DatabaseError> {
        match &self.pool {
            Pool::Sqlite(pool) => run_on_sqlite(pool, sql, params).await,
            Pool::Postgres(pool) => with_time_limit(look_up(pool, SqlStr::from_static(sql), params)).await,
        }
    }

    /// Inserts rows in one statement: all of them or none. `table` has the form `t (a, b)`, and `params` are the values, row
    /// after row.
    ///
    /// # Errors
    /// When it fails.
    pub async fn insert(&self, table: &'static str, columns: usize, params: &[Param<'_>]) -> Result<(), DatabaseError> {
        match &self.pool {
            Pool::Sqlite(pool) => insert_on_sqlite(pool, table, columns, params).await.map(|_| ()),
            Pool::Postgres(pool) => with_time_limit(insert(pool, table, columns, params)).await,
        }
    }

    /// The same as [`Self::look_up`], but does not delay the writes to an SQLite file.
    ///
    /// # Errors
    /// When it fails.
    pub async fn read(&self, query: &Query<'_>) -> Result<Vec<Row>, DatabaseError> {
        let (sql, params) = query.parts();
        let sql = AssertSqlSafe(sql);
        match &self.reader {
            Pool::Sqlite(pool) => run_on_sqlite(pool, sql, params).await,
            Pool::Postgres(pool) => with_time_limit(look_up(pool, sql.into_sql_str(), params)).await,
        }
    }

    /// Begins a unit of work.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn begin(&self) -> Result<UnitOfWork, DatabaseError> {
        UnitOfWork::begin(&self.pool).await
    }

    /// Returns a unit of work whose transaction begins with its first statement.
    #[must_use]
    pub fn begin_lazily(&self) -> UnitOfWork {
        UnitOfWork::begin_lazily(&self.pool)
    }

    /// Listens for changes that any replica makes. Must be called in a Tokio runtime.
    #[must_use]
    pub fn listen(&self, channel: &'static str) -> Listener {
        Listener::start(&self.pool, channel)
    }

    /// Closes every connection. Later statements fail.
    pub async fn close(&self) {
        for pool in [&self.reader, &self.pool] {
            match pool {
                Pool::Sqlite(pool) => pool.close().await,
                Pool::Postgres(pool) => pool.close().await,
            }
        }
    }
}

async fn run(pool: &PostgresPool, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, DatabaseError> {
    let mut connection = pool.acquire_tested().await?;
    let rows = run_on_postgres(&mut connection, Scope::OwnTransaction, SqlStr::from_static(sql), params).await;
    pool.release_after(connection, &rows);
    rows
}

async fn insert(pool: &PostgresPool, table: &str, columns: usize, params: &[Param<'_>]) -> Result<(), DatabaseError> {
    let mut connection = pool.acquire_tested().await?;
    let inserted = insert_on_postgres(&mut connection, Scope::OwnTransaction, table, columns, params).await;
    pool.release_after(connection, &inserted);
    inserted
}

async fn look_up(pool: &PostgresPool, sql: SqlStr, params: &[Param<'_>]) -> Result<Vec<Row>, DatabaseError> {
    let mut connection = pool.acquire().await?;
    let mut rows = run_on_postgres(&mut connection, Scope::OwnTransaction, sql.clone(), params).await;
    if connection.untested && rows.as_ref().is_err_and(|error| !error.had_no_effect()) {
        drop(connection);
        connection = pool.acquire_tested().await?;
        rows = run_on_postgres(&mut connection, Scope::OwnTransaction, sql, params).await;
    }
    pool.release_after(connection, &rows);
    rows
}
