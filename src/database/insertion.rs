//! Inserts many rows in one statement: all of them or none.
//!
//! PostgreSQL gets the columns as arrays, so that the statement is the same for any number of rows and is prepared
//! once; through a pooler, the rows as text. SQLite gets one placeholder per value; they have no names, because SQLite searches for named ones one by
//! one.

use super::connections::Connection;
use super::failed::Failed;
use super::literals;
use super::param::Param;
use super::statement::{Scope, inserted_on_sqlite, pooled};
use sqlx::{AssertSqlSafe, SqliteExecutor};
use std::fmt::Write as _;

/// Inserts rows, and returns the number of the last one. `into` is `table (columns)`, and `params` are the values, row after
/// row.
pub(super) async fn into_sqlite(
    executor: impl SqliteExecutor<'_>,
    into: &'static str,
    columns: usize,
    params: &[Param<'_>],
) -> Result<i64, Failed> {
    inserted_on_sqlite(executor, AssertSqlSafe(with_values(into, columns, params.len() / columns)), params).await
}

/// Inserts rows. `into` is `table (columns)`, and `params` are the values, row after row; no lists.
pub(super) async fn into_postgres(
    connection: &mut Connection,
    scope: Scope,
    into: &str,
    columns: usize,
    params: &[Param<'_>],
) -> Result<(), Failed> {
    if connection.is_pooled() {
        let text = format!("INSERT INTO {into} VALUES {}", literals::rows(columns, params));
        return pooled(connection, scope, text).await.map(|_| ());
    }
    let arrays: Vec<_> = (0..columns).map(|column| Column::of(params.iter().skip(column).step_by(columns))).collect();
    let sql = AssertSqlSafe(with_arrays(into, &arrays));
    let bound = arrays.into_iter().fold(sqlx::query(sql), |query, array| match array {
        Column::Texts(texts) => query.bind(texts),
        Column::Numbers(numbers) => query.bind(numbers),
        Column::Bytes(bytes) => query.bind(bytes),
    });
    bound.execute(connection.inner()).await?;
    Ok(())
}

/// The values of one column.
enum Column<'a> {
    Texts(Vec<Option<&'a str>>),
    Numbers(Vec<Option<i64>>),
    Bytes(Vec<Option<&'a [u8]>>),
}

impl<'a> Column<'a> {
    /// The kind of the first value. Values of another kind are skipped.
    fn of(mut params: impl Iterator<Item = &'a Param<'a>> + Clone) -> Self {
        let kind = params.clone().next();
        match kind {
            Some(Param::Number(_)) => Self::Numbers(
                params
                    .by_ref()
                    .map(|param| if let Param::Number(number) = param { Some(*number) } else { None })
                    .collect(),
            ),
            Some(Param::Bytes(_) | Param::NoBytes) => Self::Bytes(
                params
                    .by_ref()
                    .map(|param| if let Param::Bytes(bytes) = param { Some(*bytes) } else { None })
                    .collect(),
            ),
            _ => Self::Texts(
                params.by_ref().map(|param| if let Param::Text(text) = param { Some(&**text) } else { None }).collect(),
            ),
        }
    }

    const fn array(&self) -> &'static str {
        match self {
            Self::Texts(_) => "text[]",
            Self::Numbers(_) => "bigint[]",
            Self::Bytes(_) => "bytea[]",
        }
    }
}

/// The statement contains only fixed text and placeholders.
fn with_arrays(into: &str, columns: &[Column<'_>]) -> String {
    let mut sql = format!("INSERT INTO {into} SELECT * FROM unnest(");
    for (index, column) in columns.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = write!(sql, "{}${}::{}", if index == 0 { "" } else { ", " }, index + 1, column.array());
    }
    sql.push(')');
    sql
}

/// The statement contains only fixed text and placeholders.
fn with_values(into: &str, columns: usize, rows: usize) -> String {
    let mut sql = String::with_capacity(32 + into.len() + rows * (columns * 3 + 2));
    sql.extend(["INSERT INTO ", into, " VALUES "]);
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            sql.push_str(if column == 0 { "?" } else { ", ?" });
        }
        sql.push(')');
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insertion_has_a_placeholder_a_value_or_an_array_a_column() {
        assert_eq!(with_values("t (a, b)", 2, 2), "INSERT INTO t (a, b) VALUES (?, ?), (?, ?)");
        let row: [Param; 3] = [Param::NoText, 7.into(), Param::NoBytes];
        let columns: Vec<_> = row.iter().map(|param| Column::of(std::iter::once(param))).collect();
        let sql = "INSERT INTO t (a, b, c) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[])";
        assert_eq!(with_arrays("t (a, b, c)", &columns), sql);
    }
}
