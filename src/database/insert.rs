//! Inserts many rows in one statement: all of them or none.
//!
//! PostgreSQL gets each column as an array, so that the statement is the same for any number of rows and is prepared once;
//! through a pooler it gets the values as literals. SQLite gets one placeholder for each value. These placeholders are not
//! numbered, because SQLite searches for numbered ones one by one.

use super::errors::DatabaseError;
use super::literals;
use super::param::Param;
use super::postgres_pool::Connection;
use super::statement::{Scope, run_insert_on_sqlite, run_with_literals};
use sqlx::{AssertSqlSafe, SqliteExecutor};
use std::fmt::Write as _;

/// Inserts rows, and returns the `rowid` of the last one. `table` has the form `t (a, b)`, and `params` are the values, row
/// after row.
pub(super) async fn insert_on_sqlite(
    executor: impl SqliteExecutor<'_>,
    table: &'static str,
    columns: usize,
    params: &[Param<'_>],
) -> Result<i64, DatabaseError> {
    run_insert_on_sqlite(executor, AssertSqlSafe(sql_with_values(table, columns, params.len() / columns)), params).await
}

/// Inserts rows. `table` has the form `t (a, b)`, and `params` are the values, row after row. Lists are not supported.
pub(super) async fn insert_on_postgres(
    connection: &mut Connection,
    scope: Scope,
    table: &str,
    columns: usize,
    params: &[Param<'_>],
) -> Result<(), DatabaseError> {
    if connection.uses_pooler() {
        let sql = format!("INSERT INTO {table} VALUES {}", literals::row_list(columns, params));
        return run_with_literals(connection, scope, sql).await.map(|_| ());
    }
    let arrays: Vec<_> =
        (0..columns).map(|column| ColumnArray::new(params.iter().skip(column).step_by(columns))).collect();
    let sql = AssertSqlSafe(sql_with_arrays(table, &arrays));
    let bound = arrays.into_iter().fold(sqlx::query(sql), |query, array| match array {
        ColumnArray::Texts(texts) => query.bind(texts),
        ColumnArray::Numbers(numbers) => query.bind(numbers),
        ColumnArray::Blobs(blobs) => query.bind(blobs),
    });
    bound.execute(connection.inner()).await?;
    Ok(())
}

/// The values of one column.
enum ColumnArray<'a> {
    Texts(Vec<Option<&'a str>>),
    Numbers(Vec<Option<i64>>),
    Blobs(Vec<Option<&'a [u8]>>),
}

impl<'a> ColumnArray<'a> {
    /// The type is that of the first value. A value of another type becomes NULL.
    fn new(params: impl Iterator<Item = &'a Param<'a>> + Clone) -> Self {
        match params.clone().next() {
            Some(Param::Number(_)) => Self::Numbers(
                params.map(|param| if let Param::Number(number) = param { Some(*number) } else { None }).collect(),
            ),
            Some(Param::Bytes(_) | Param::NoBytes) => Self::Blobs(
                params.map(|param| if let Param::Bytes(bytes) = param { Some(*bytes) } else { None }).collect(),
            ),
            _ => Self::Texts(params.map(Param::as_text).collect()),
        }
    }

    const fn sql_type(&self) -> &'static str {
        match self {
            Self::Texts(_) => "text[]",
            Self::Numbers(_) => "bigint[]",
            Self::Blobs(_) => "bytea[]",
        }
    }
}

/// The statement contains only fixed text and placeholders.
fn sql_with_arrays(table: &str, arrays: &[ColumnArray<'_>]) -> String {
    let mut sql = format!("INSERT INTO {table} SELECT * FROM unnest(");
    for (index, array) in arrays.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = write!(sql, "{}${}::{}", if index == 0 { "" } else { ", " }, index + 1, array.sql_type());
    }
    sql.push(')');
    sql
}

/// The statement contains only fixed text and placeholders.
fn sql_with_values(table: &str, columns: usize, rows: usize) -> String {
    let mut sql = String::with_capacity(32 + table.len() + rows * (columns * 3 + 2));
    sql.extend(["INSERT INTO ", table, " VALUES "]);
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
    fn sql_has_a_placeholder_for_each_value_or_for_each_array() {
        assert_eq!(sql_with_values("t (a, b)", 2, 2), "INSERT INTO t (a, b) VALUES (?, ?), (?, ?)");
        let row: [Param; 3] = [Param::NoText, 7.into(), Param::NoBytes];
        let arrays: Vec<_> = row.iter().map(|param| ColumnArray::new(std::iter::once(param))).collect();
        let sql = "INSERT INTO t (a, b, c) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[])";
        assert_eq!(sql_with_arrays("t (a, b, c)", &arrays), sql);
    }
}
