//! One form of statement for both databases: parameters and rows.
//!
//! Placeholders are written `$1`, which both accept. Columns are texts, integers and bytes.

use super::connections::Connection;
use super::failed::Failed;
use super::literals;
use super::param::Param;
use futures_util::TryStreamExt as _;
use sqlx::postgres::PgRow;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Either, Row as _, SqlSafeStr, SqlStr, Sqlite, SqliteExecutor};

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

/// A result row.
pub struct Row(Inner);

enum Inner {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// A text.
    ///
    /// # Errors
    /// When the column has another type.
    pub fn text(&self, column: usize) -> Result<String, Failed> {
        Ok(match &self.0 {
            Inner::Sqlite(row) => row.try_get(column),
            Inner::Postgres(row) => row.try_get(column),
        }?)
    }

    /// A text, or `None` for NULL.
    ///
    /// # Errors
    /// When the column has another type.
    pub fn text_if_any(&self, column: usize) -> Result<Option<String>, Failed> {
        Ok(match &self.0 {
            Inner::Sqlite(row) => row.try_get(column),
            Inner::Postgres(row) => row.try_get(column),
        }?)
    }

    /// A borrowed text.
    ///
    /// # Errors
    /// When the column has another type.
    pub fn str(&self, column: usize) -> Result<&str, Failed> {
        Ok(match &self.0 {
            Inner::Sqlite(row) => row.try_get(column),
            Inner::Postgres(row) => row.try_get(column),
        }?)
    }

    /// A borrowed text, or `None` for NULL.
    ///
    /// # Errors
    /// When the column has another type.
    pub fn str_if_any(&self, column: usize) -> Result<Option<&str>, Failed> {
        Ok(match &self.0 {
            Inner::Sqlite(row) => row.try_get(column),
            Inner::Postgres(row) => row.try_get(column),
        }?)
    }

    /// An integer.
    ///
    /// # Errors
    /// The column has another type.
    pub fn number(&self, column: usize) -> Result<i64, Failed> {
        Ok(match &self.0 {
            Inner::Sqlite(row) => row.try_get(column),
            Inner::Postgres(row) => row.try_get(column),
        }?)
    }

    /// Bytes, or `None` for NULL.
    ///
    /// # Errors
    /// When the column has another type.
    pub fn bytes_if_any(&self, column: usize) -> Result<Option<Vec<u8>>, Failed> {
        Ok(match &self.0 {
            Inner::Sqlite(row) => row.try_get(column),
            Inner::Postgres(row) => row.try_get(column),
        }?)
    }

    /// An integer, or `None` for NULL.
    ///
    /// # Errors
    /// The column has another type.
    pub fn number_if_any(&self, column: usize) -> Result<Option<i64>, Failed> {
        Ok(match &self.0 {
            Inner::Sqlite(row) => row.try_get(column),
            Inner::Postgres(row) => row.try_get(column),
        }?)
    }
}

pub(super) async fn on_sqlite(
    executor: impl SqliteExecutor<'_>,
    sql: impl SqlSafeStr,
    params: &[Param<'_>],
) -> Result<Vec<Row>, Failed> {
    let rows = bound_for_sqlite(sql, params).fetch_all(executor).await?;
    Ok(rows.into_iter().map(|row| Row(Inner::Sqlite(row))).collect())
}

/// Returns the number of the last inserted row.
pub(super) async fn inserted_on_sqlite(
    executor: impl SqliteExecutor<'_>,
    sql: impl SqlSafeStr,
    params: &[Param<'_>],
) -> Result<i64, Failed> {
    // Only the first result. `execute` waits for the end of the results too, which wakes this thread once more.
    match executor.fetch_many(bound_for_sqlite(sql, params)).try_next().await? {
        Some(Either::Left(inserted)) => Ok(inserted.last_insert_rowid()),
        _ => Err(Failed::no_row()),
    }
}

fn bound_for_sqlite<'a>(sql: impl SqlSafeStr, params: &'a [Param<'_>]) -> SqliteQuery<'a> {
    params.iter().fold(sqlx::query(sql), |query, param| match param {
        Param::Text(text) => query.bind(&**text),
        Param::NoText => query.bind(None::<&str>),
        Param::Number(number) => query.bind(number),
        Param::Bytes(bytes) => query.bind(*bytes),
        Param::NoBytes | Param::Blobs(_) => query.bind(None::<&[u8]>),
        // Texts and numbers are always JSON.
        Param::Texts(texts) => query.bind(serde_json::to_string(texts).unwrap_or_default()),
        Param::Numbers(numbers) => query.bind(serde_json::to_string(numbers).unwrap_or_default()),
    })
}

/// What a statement on a PostgreSQL server belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// A transaction of its own.
    Alone,
    /// A transaction that has begun.
    Work,
}

pub(super) async fn on_postgres(
    connection: &mut Connection,
    scope: Scope,
    sql: SqlStr,
    params: &[Param<'_>],
) -> Result<Vec<Row>, Failed> {
    if connection.is_pooled() {
        return pooled(connection, scope, literals::written(sql.as_str(), params)).await;
    }
    let bound = params.iter().fold(sqlx::query(sql), |query, param| match param {
        Param::Text(text) => query.bind(&**text),
        Param::NoText => query.bind(None::<&str>),
        Param::Number(number) => query.bind(number),
        Param::Bytes(bytes) => query.bind(*bytes),
        Param::NoBytes => query.bind(None::<&[u8]>),
        Param::Texts(texts) => query.bind(*texts),
        Param::Numbers(numbers) => query.bind(*numbers),
        Param::Blobs(blobs) => query.bind(*blobs),
    });
    Ok(bound.fetch_all(connection.inner()).await?.into_iter().map(|row| Row(Inner::Postgres(row))).collect())
}

/// Runs a statement whose values are written into it, in one message. One that is alone begins with the guard, in the same
/// transaction: the server makes one of all statements of a message.
pub(super) async fn pooled(connection: &mut Connection, scope: Scope, text: String) -> Result<Vec<Row>, Failed> {
    let (text, guard_rows) = match scope {
        Scope::Alone => (format!("{}; {text}", connection.guard()), 1),
        Scope::Work => (text, 0),
    };
    let rows = sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(connection.inner()).await?;
    Ok(rows.into_iter().skip(guard_rows).map(|row| Row(Inner::Postgres(row))).collect())
}
