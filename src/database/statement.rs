//! One form of statement for both databases: parameters and rows.
//!
//! Placeholders are written `$1`, which both accept. Columns are texts, integers and bytes.

use super::failed::Failed;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{PgExecutor, Row as _, SqlSafeStr, SqliteExecutor};
use std::borrow::Cow;

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

/// A value for a placeholder.
#[derive(Debug, Clone)]
pub enum Param<'a> {
    /// A text. PostgreSQL does not support NUL in text; it is replaced by U+FFFD, in both databases.
    Text(Cow<'a, str>),
    /// A NULL text.
    NoText,
    /// An integer.
    Number(i64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// NULL bytes.
    NoBytes,
    /// A list of texts, none of which has a NUL.
    Texts(&'a [&'a str]),
    /// A list of integers.
    Numbers(&'a [i64]),
    /// A list of bytes, for PostgreSQL only.
    Blobs(&'a [&'a [u8]]),
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

impl From<String> for Param<'_> {
    fn from(text: String) -> Self {
        Self::Text(if text.contains('\0') { text.replace('\0', "\u{FFFD}").into() } else { text.into() })
    }
}

impl<'a> From<Option<&'a str>> for Param<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::NoText, Into::into)
    }
}

impl<'a> From<Option<Cow<'a, str>>> for Param<'a> {
    fn from(text: Option<Cow<'a, str>>) -> Self {
        match text {
            Some(Cow::Borrowed(text)) => text.into(),
            Some(Cow::Owned(text)) => text.into(),
            None => Self::NoText,
        }
    }
}

impl From<i64> for Param<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl<'a> From<&'a [u8]> for Param<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
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
    let bound = params.iter().fold(sqlx::query(sql), |query, param| match param {
        Param::Text(text) => query.bind(&**text),
        Param::NoText => query.bind(None::<&str>),
        Param::Number(number) => query.bind(number),
        Param::Bytes(bytes) => query.bind(*bytes),
        Param::NoBytes | Param::Blobs(_) => query.bind(None::<&[u8]>),
        // Texts and numbers are always JSON.
        Param::Texts(texts) => query.bind(serde_json::to_string(texts).unwrap_or_default()),
        Param::Numbers(numbers) => query.bind(serde_json::to_string(numbers).unwrap_or_default()),
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
        Param::Bytes(bytes) => query.bind(*bytes),
        Param::NoBytes => query.bind(None::<&[u8]>),
        Param::Texts(texts) => query.bind(*texts),
        Param::Numbers(numbers) => query.bind(*numbers),
        Param::Blobs(blobs) => query.bind(*blobs),
    });
    Ok(bound.fetch_all(executor).await?.into_iter().map(|row| Row(Inner::Postgres(row))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_has_a_nul() {
        assert!(matches!(Param::from("a\0b"), Param::Text(text) if text == "a\u{FFFD}b"));
        assert!(matches!(Param::from("ab"), Param::Text(Cow::Borrowed("ab"))));
    }
}
