//! The unit of work: several statements in one transaction.

use super::errors::{DatabaseError, with_time_limit};
use super::insert::{insert_on_postgres, insert_on_sqlite};
use super::param::Param;
use super::pool::Pool;
use super::postgres_pool::{Connection, PostgresPool};
use super::statement::{Row, Scope, Sql, run_on_postgres, run_on_sqlite};
use sqlx::{AssertSqlSafe, SqlStr, Sqlite, Transaction};
use std::convert::Infallible;
use std::fmt::Write as _;

/// A transaction, rolled back on drop unless it is committed. It holds the only writing connection of an SQLite database, so
/// its owner must not use the database otherwise until it ends.
pub struct UnitOfWork(State);

enum State {
    /// The transaction begins with the first statement.
    NotBegun(Pool),
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(PostgresTransaction),
}

struct PostgresTransaction {
    /// `None` after the end of the transaction.
    connection: Option<Connection>,
}

impl UnitOfWork {
    pub(super) async fn begin(pool: &Pool) -> Result<Self, DatabaseError> {
        Ok(Self(begin(pool, &[]).await?))
    }

    pub(super) fn begin_lazily(pool: &Pool) -> Self {
        Self(State::NotBegun(pool.clone()))
    }

    /// Runs a statement, and returns its rows.
    ///
    /// # Errors
    /// When it fails. The unit of work must then be dropped.
    pub async fn run(&mut self, sql: impl Into<Sql>, params: &[Param<'_>]) -> Result<Vec<Row>, DatabaseError> {
        let sql = sql.into();
        match self.begin_if_needed().await? {
            State::NotBegun(_) => Err(DatabaseError::missing_row()),
            State::Sqlite(transaction) => run_on_sqlite(&mut **transaction, sql.sqlite, params).await,
            State::Postgres(transaction) => {
                let sql = SqlStr::from_static(sql.postgres);
                with_time_limit(run_on_postgres(transaction.connection()?, Scope::UnitOfWork, sql, params)).await
            }
        }
    }

    /// Inserts rows in one statement. `table` has the form `t (a, b)`, and `params` are the values, row after row. For SQLite,
    /// returns the `rowid` of the last row; the rows before it have consecutive ones.
    ///
    /// # Errors
    /// When it fails. The unit of work must then be dropped.
    pub async fn insert(
        &mut self,
        table: &'static str,
        columns: usize,
        params: &[Param<'_>],
    ) -> Result<Option<i64>, DatabaseError> {
        match self.begin_if_needed().await? {
            State::NotBegun(_) => Err(DatabaseError::missing_row()),
            State::Sqlite(transaction) => insert_on_sqlite(&mut **transaction, table, columns, params).await.map(Some),
            State::Postgres(transaction) => {
                let connection = transaction.connection()?;
                let inserted = insert_on_postgres(connection, Scope::UnitOfWork, table, columns, params);
                with_time_limit(inserted).await.map(|()| None)
            }
        }
    }

    /// Acquires exclusive advisory locks in the order of `keys`, which must be ascending, until the transaction ends. As the
    /// first statement it costs no extra round trip. A no-op for SQLite, which has one writer at a time.
    ///
    /// # Errors
    /// When it fails. The unit of work must then be dropped.
    pub async fn lock(&mut self, keys: &[i64]) -> Result<(), DatabaseError> {
        match &mut self.0 {
            State::NotBegun(pool @ Pool::Postgres(_)) => self.0 = begin(pool, keys).await?,
            State::Postgres(transaction) => with_time_limit(run_raw(transaction.connection()?, lock_sql(keys))).await?,
            State::NotBegun(Pool::Sqlite(_)) | State::Sqlite(_) => {}
        }
        Ok(())
    }

    /// Whether the transaction has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !matches!(self.0, State::NotBegun(_))
    }

    /// Whether statements are sent to a server, so that each costs a round trip.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self.0, State::Postgres(_) | State::NotBegun(Pool::Postgres(_)))
    }

    /// Notifies listeners of a channel at the commit. A no-op for SQLite, where listeners poll.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn notify(&mut self, channel: &'static str) -> Result<(), DatabaseError> {
        if self.is_remote() {
            self.run("SELECT pg_notify($1, '')", &[channel.into()]).await.map(|_| ())
        } else {
            Ok(())
        }
    }

    /// Commits.
    ///
    /// # Errors
    /// When the commit fails or its outcome is unknown.
    pub async fn commit(self) -> Result<(), DatabaseError> {
        match self.0 {
            State::NotBegun(_) => Ok(()),
            State::Sqlite(transaction) => Ok(transaction.commit().await?),
            State::Postgres(transaction) => transaction.commit().await,
        }
    }

    /// Inserts rows and commits: in a single statement, if the transaction has not begun. Returns the same as [`Self::insert`].
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn insert_and_commit(
        self,
        table: &'static str,
        columns: usize,
        params: &[Param<'_>],
    ) -> Result<Option<i64>, CommitError<Infallible>> {
        let mut work = match self.0 {
            State::NotBegun(pool) => return insert_in_one_statement(&pool, table, columns, params).await,
            begun => Self(begun),
        };
        let last = work.insert(table, columns, params).await.map_err(CommitError::Failed)?;
        work.commit().await.map_err(CommitError::from_commit)?;
        Ok(last)
    }

    /// Begins the transaction if it has not begun.
    async fn begin_if_needed(&mut self) -> Result<&mut State, DatabaseError> {
        if let State::NotBegun(pool) = &self.0 {
            self.0 = begin(pool, &[]).await?;
        }
        Ok(&mut self.0)
    }
}

/// Why a unit of work is not durable.
#[derive(Debug)]
pub enum CommitError<R, F = DatabaseError> {
    /// A step was rejected, because its precondition no longer holds. It changed nothing.
    Rejected(R),
    /// The database failed. Nothing was changed, and nothing will be.
    Failed(F),
    /// The connection was lost, or the database did not answer, during the commit. The outcome is unknown.
    Unknown(F),
}

impl CommitError<Infallible> {
    /// For an error of the commit itself.
    fn from_commit(error: DatabaseError) -> Self {
        if error.had_no_effect() { Self::Failed(error) } else { Self::Unknown(error) }
    }
}

impl PostgresTransaction {
    /// Begins and acquires the locks in one round trip. This changes nothing, so it is retried on another connection.
    async fn begin(pool: &PostgresPool, lock_keys: &[i64]) -> Result<Self, DatabaseError> {
        let connection = pool.acquire().await?;
        let untested = connection.untested;
        match Self::begin_on(connection, lock_keys).await {
            Err(error) if untested && !error.had_no_effect() => {
                Self::begin_on(pool.acquire_tested().await?, lock_keys).await
            }
            result => result,
        }
    }

    async fn begin_on(connection: Connection, lock_keys: &[i64]) -> Result<Self, DatabaseError> {
        // At the stricter levels, which can be the server's default, statements do not see what the previous holder of the
        // locks committed.
        let mut sql = "BEGIN ISOLATION LEVEL READ COMMITTED".to_owned();
        if connection.uses_pooler() {
            sql.extend(["; ", connection.guard()]);
        }
        if !lock_keys.is_empty() {
            sql.extend(["; ", &lock_sql(lock_keys)]);
        }
        let mut transaction = Self { connection: Some(connection) };
        run_raw(transaction.connection()?, sql).await?;
        Ok(transaction)
    }

    fn connection(&mut self) -> Result<&mut Connection, DatabaseError> {
        self.connection.as_mut().ok_or_else(DatabaseError::missing_row)
    }

    async fn commit(mut self) -> Result<(), DatabaseError> {
        with_time_limit(run_raw(self.connection()?, "COMMIT".to_owned())).await?;
        if let Some(connection) = self.connection.take() {
            connection.release();
        }
        Ok(())
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            tokio::spawn(async move {
                if with_time_limit(run_raw(&mut connection, "ROLLBACK".to_owned())).await.is_ok() {
                    connection.release();
                }
            });
        }
    }
}

/// Runs statements without parameters. Their text holds no input.
async fn run_raw(connection: &mut Connection, sql: String) -> Result<(), DatabaseError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection.inner()).await?;
    Ok(())
}

fn lock_sql(keys: &[i64]) -> String {
    let mut sql = "SELECT pg_advisory_xact_lock(lock) FROM unnest('{".to_owned();
    for (index, key) in keys.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = write!(sql, "{}{key}", if index == 0 { "" } else { "," });
    }
    sql.push_str("}'::bigint[]) AS lock");
    sql
}

async fn begin(pool: &Pool, lock_keys: &[i64]) -> Result<State, DatabaseError> {
    Ok(match pool {
        // BEGIN IMMEDIATE acquires the write lock now. A transaction that reads first would fail at its first write if another
        // process had written in between.
        Pool::Sqlite(pool) => State::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
        Pool::Postgres(pool) => State::Postgres(with_time_limit(PostgresTransaction::begin(pool, lock_keys)).await?),
    })
}

/// Without a connection nothing was changed, so such a failure is [`CommitError::Failed`].
async fn insert_in_one_statement(
    pool: &Pool,
    table: &'static str,
    columns: usize,
    params: &[Param<'_>],
) -> Result<Option<i64>, CommitError<Infallible>> {
    let without_connection = |error: sqlx::Error| CommitError::Failed(error.into());
    match pool {
        Pool::Sqlite(pool) => {
            let mut connection = pool.acquire().await.map_err(without_connection)?;
            insert_on_sqlite(&mut *connection, table, columns, params).await.map(Some)
        }
        Pool::Postgres(pool) => {
            let mut connection = pool.acquire().await.map_err(without_connection)?;
            let insert = insert_on_postgres(&mut connection, Scope::OwnTransaction, table, columns, params);
            let inserted = with_time_limit(insert).await;
            pool.release_after(connection, &inserted);
            inserted.map(|()| None)
        }
    }
    .map_err(CommitError::from_commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_sql_keeps_the_order_of_the_keys() {
        let sql = "SELECT pg_advisory_xact_lock(lock) FROM unnest('{-7,3}'::bigint[]) AS lock";
        assert_eq!(lock_sql(&[-7, 3]), sql);
    }
}
