//! Statements, their parameters and their rows, in one form for both databases.
//!
//! Placeholders have the form `$1`, which both accept. Columns are texts, integers or bytes.

use super::errors::DatabaseError;
use super::literals;
use super::param::Param;
use super::postgres_pool::Connection;
use futures_util::TryStreamExt as _;
use sqlx::postgres::PgRow;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Decode, Either, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite, SqliteExecutor, Type};
use std::sync::Arc;

type SqliteQuery<'a> = Query<'a, Sqlite, SqliteArguments>;

/// A statement in the dialect of each database, or one text for both.
#[derive(Debug, Clone, Copy)]
pub struct Sql {
    /// For SQLite, where a list is JSON: `IN (SELECT value FROM json_each($1))`.
    pub sqlite: &'static str,
    /// For PostgreSQL, where a list is an array: `= ANY($1)`.
    pub postgres: &'static str,
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self { sqlite: text, postgres: text }
    }
}

/// A result row. A column is found by its index, and NULL is returned as `None`.
pub struct Row(DriverRow);

enum DriverRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// A text.
    ///
    /// # Errors
    /// When the column has another type.
    pub fn text(&self, column: usize) -> Result<String, DatabaseError> {
        self.get(column)
    }

    /// A text that may be NULL.
    ///
    /// # Errors
    /// When the column has another type.
    pub fn optional_text(&self, column: usize) -> Result<Option<String>, DatabaseError> {
        self.get(column)
    }

    /// A borrowed text.
    ///
    /// # Errors
    /// When the column has another type.
    pub fn str(&self, column: usize) -> Result<&str, DatabaseError> {
        self.get(column)
    }

    /// A borrowed text that may be NULL.
    ///
    /// # Errors
    /// When the column has another type.
    pub fn optional_str(&self, column: usize) -> Result<Option<&str>, DatabaseError> {
        self.get(column)
    }

    /// An integer.
    ///
    /// # Errors
    /// When the column has another type.
    pub fn number(&self, column: usize) -> Result<i64, DatabaseError> {
        self.get(column)
    }

    /// An integer that may be NULL.
    ///
    /// # Errors
    /// When the column has another type.
    pub fn optional_number(&self, column: usize) -> Result<Option<i64>, DatabaseError> {
        self.get(column)
    }

    /// Bytes that may be NULL.
    ///
    /// # Errors
    /// When the column has another type.
    pub fn optional_bytes(&self, column: usize) -> Result<Option<Vec<u8>>, DatabaseError> {
        self.get(column)
    }

    fn get<'r, T>(&'r self, column: usize) -> Result<T, DatabaseError>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        Ok(match &self.0 {
            DriverRow::Sqlite(row) => row.try_get(column),
            DriverRow::Postgres(row) => row.try_get(column),
        }?)
    }
}

pub(super) async fn run_on_sqlite(
    executor: impl SqliteExecutor<'_>,
    sql: impl SqlSafeStr,
    params: &[Param<'_>],
) -> Result<Vec<Row>, DatabaseError> {
    let rows = bind_on_sqlite(sql, params).fetch_all(executor).await?;
    Ok(rows.into_iter().map(|row| Row(DriverRow::Sqlite(row))).collect())
}

/// Runs an INSERT, and returns the `rowid` of the last row.
pub(super) async fn run_insert_on_sqlite(
    executor: impl SqliteExecutor<'_>,
    sql: impl SqlSafeStr,
    params: &[Param<'_>],
) -> Result<i64, DatabaseError> {
    // Reads only the first result: `execute` also waits for the end of the results, which wakes this thread once more.
    match executor.fetch_many(bind_on_sqlite(sql, params)).try_next().await? {
        Some(Either::Left(inserted)) => Ok(inserted.last_insert_rowid()),
        _ => Err(DatabaseError::missing_row()),
    }
}

fn bind_on_sqlite<'a>(sql: impl SqlSafeStr, params: &'a [Param<'_>]) -> SqliteQuery<'a> {
    params.iter().fold(sqlx::query(sql), |query, param| match param {
        // One allocation; of a borrowed text, the driver makes two.
        Param::Text(text) => query.bind(Arc::<str>::from(&**text)),
        Param::Shared(text) => query.bind(text.clone()),
        Param::NoText => query.bind(None::<&str>),
        Param::Number(number) => query.bind(number),
        Param::Bytes(bytes) => query.bind(*bytes),
        Param::NoBytes | Param::Blobs(_) => query.bind(None::<&[u8]>),
        // Serialization of strings and numbers cannot fail.
        Param::Texts(texts) => query.bind(serde_json::to_string(texts).unwrap_or_default()),
        Param::Numbers(numbers) => query.bind(serde_json::to_string(numbers).unwrap_or_default()),
    })
}

/// The transaction of a statement on a PostgreSQL server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The statement is a transaction.
    OwnTransaction,
    /// The transaction of a unit of work, which has begun.
    UnitOfWork,
}

pub(super) async fn run_on_postgres(
    connection: &mut Connection,
    scope: Scope,
    sql: SqlStr,
    params: &[Param<'_>],
) -> Result<Vec<Row>, DatabaseError> {
    if connection.uses_pooler() {
        return run_with_literals(connection, scope, literals::substitute_placeholders(sql.as_str(), params)).await;
    }
    let bound = params.iter().fold(sqlx::query(sql), |query, param| match param {
        Param::Text(text) => query.bind(&**text),
        Param::Shared(text) => query.bind(&**text),
        Param::NoText => query.bind(None::<&str>),
        Param::Number(number) => query.bind(number),
        Param::Bytes(bytes) => query.bind(*bytes),
        Param::NoBytes => query.bind(None::<&[u8]>),
        Param::Texts(texts) => query.bind(*texts),
        Param::Numbers(numbers) => query.bind(*numbers),
        Param::Blobs(blobs) => query.bind(*blobs),
    });
    Ok(bound.fetch_all(connection.inner()).await?.into_iter().map(|row| Row(DriverRow::Postgres(row))).collect())
}

/// Runs a statement without parameters through a pooler, in one message. The server executes all statements of a message in one
/// transaction, so in [`Scope::OwnTransaction`] the message begins with the guard.
pub(super) async fn run_with_literals(
    connection: &mut Connection,
    scope: Scope,
    sql: String,
) -> Result<Vec<Row>, DatabaseError> {
    let (sql, guard_rows) = match scope {
        Scope::OwnTransaction => (format!("{}; {sql}", connection.guard()), 1),
        Scope::UnitOfWork => (sql, 0),
    };
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection.inner()).await?;
    Ok(rows.into_iter().skip(guard_rows).map(|row| Row(DriverRow::Postgres(row))).collect())
}
