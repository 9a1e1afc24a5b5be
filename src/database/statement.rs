//! One statement for both kinds of database: what is bound to it and what comes back.
//!
//! Placeholders are written `$1`, which both understand. Columns are texts and whole numbers.

use super::Failed;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, PgExecutor, Row as _, SqlSafeStr, SqliteExecutor};
use std::borrow::Cow;
use std::fmt::Write as _;

/// A value for a placeholder.
#[derive(Debug, Clone)]
pub enum Param<'a> {
    /// A text. PostgreSQL has no NUL in one; it becomes U+FFFD, in every database alike.
    Text(Cow<'a, str>),
    /// A text that is not there.
    NoText,
    /// A whole number.
    Number(i64),
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(if text.contains('\0') { text.replace('\0', "\u{FFFD}").into() } else { text.into() })
    }
}

impl<'a> From<&'a String> for Param<'a> {
    fn from(text: &'a String) -> Self {
        text.as_str().into()
    }
}

impl<'a> From<Option<&'a str>> for Param<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::NoText, Into::into)
    }
}

impl From<i64> for Param<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// A row that came back.
pub struct Row(Inner);

enum Inner {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// A text that is there.
    ///
    /// # Errors
    /// When the column is something else.
    pub fn text(&self, column: usize) -> Result<String, Failed> {
        Ok(match &self.0 {
            Inner::Sqlite(row) => row.try_get(column),
            Inner::Postgres(row) => row.try_get(column),
        }?)
    }

    /// A text, if there is one.
    ///
    /// # Errors
    /// When the column is something else.
    pub fn text_if_any(&self, column: usize) -> Result<Option<String>, Failed> {
        Ok(match &self.0 {
            Inner::Sqlite(row) => row.try_get(column),
            Inner::Postgres(row) => row.try_get(column),
        }?)
    }

    /// A whole number.
    ///
    /// # Errors
    /// When the column is something else.
    pub fn number(&self, column: usize) -> Result<i64, Failed> {
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
    let bound = params.iter().fold(sqlx::query(sql), |query, param| match param {
        Param::Text(text) => query.bind(&**text),
        Param::NoText => query.bind(None::<&str>),
        Param::Number(number) => query.bind(number),
    });
    Ok(bound.fetch_all(executor).await?.into_iter().map(|row| Row(Inner::Sqlite(row))).collect())
}

pub(super) async fn on_postgres(
    executor: impl PgExecutor<'_>,
    sql: impl SqlSafeStr,
    params: &[Param<'_>],
) -> Result<Vec<Row>, Failed> {
    let bound = params.iter().fold(sqlx::query(sql), |query, param| match param {
        Param::Text(text) => query.bind(&**text),
        Param::NoText => query.bind(None::<&str>),
        Param::Number(number) => query.bind(number),
    });
    Ok(bound.fetch_all(executor).await?.into_iter().map(|row| Row(Inner::Postgres(row))).collect())
}

/// `INSERT INTO table (columns) VALUES (...), (...)`. Nothing but our own words and placeholders is in it. SQLite looks
/// named placeholders up one by one, which is slow for thousands, so it gets nameless ones.
pub(super) fn insertion(into: &'static str, columns: usize, rows: usize, named: bool) -> AssertSqlSafe<String> {
    let mut sql = format!("INSERT INTO {into} VALUES ");
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            sql.push_str(if column == 0 { "" } else { ", " });
            // Writing to a String does not fail.
            let _ = if named { write!(sql, "${}", row * columns + column + 1) } else { write!(sql, "?") };
        }
        sql.push(')');
    }
    AssertSqlSafe(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insertion_has_a_placeholder_a_value() {
        assert_eq!(insertion("t (a, b)", 2, 2, true).0, "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)");
        assert_eq!(insertion("t (a, b)", 2, 2, false).0, "INSERT INTO t (a, b) VALUES (?, ?), (?, ?)");
    }

    #[test]
    fn no_text_has_a_nul() {
        assert!(matches!(Param::from("a\0b"), Param::Text(text) if text == "a\u{FFFD}b"));
        assert!(matches!(Param::from("ab"), Param::Text(Cow::Borrowed("ab"))));
    }
}
