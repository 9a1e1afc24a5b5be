//! The unit of work: several statements in one transaction.

use super::connections::{Connection, Connections};
use super::failed::{Failed, within};
use super::insertion;
use super::param::Param;
use super::pool::Pool;
use super::statement::{Row, Scope, Sql, on_postgres, on_sqlite};
use sqlx::{AssertSqlSafe, SqlStr, Sqlite, Transaction};
use std::convert::Infallible;
use std::fmt::Write as _;

/// A transaction, rolled back on drop unless it is committed. It holds the only connection of an SQLite database, so its owner
/// must not use the database otherwise until it ends.
pub struct Work(Inner);

enum Inner {
    /// Begins with the first statement.
    Later(Pool),
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Begun),
}

/// A transaction on a PostgreSQL server.
struct Begun {
    /// `None` after the end of the transaction.
    connection: Option<Connection>,
}

impl Work {
    pub(super) async fn begin(pool: &Pool) -> Result<Self, Failed> {
        Ok(Self(begin(pool, &[]).await?))
    }

    pub(super) fn later(pool: &Pool) -> Self {
        Self(Inner::Later(pool.clone()))
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// When it fails. The work must then be dropped.
    pub async fn run(&mut self, sql: impl Into<Sql>, params: &[Param<'_>]) -> Result<Vec<Row>, Failed> {
        self.begin_now().await?;
        let sql = sql.into();
        match &mut self.0 {
            Inner::Later(_) => Err(Failed::no_row()),
            Inner::Sqlite(transaction) => on_sqlite(&mut **transaction, sql.sqlite, params).await,
            Inner::Postgres(begun) => {
                let sql = SqlStr::from_static(sql.postgres);
                within(on_postgres(begun.connection()?, Scope::Work, sql, params)).await
            }
        }
    }

    /// Inserts rows in one statement. `into` is `table (columns)`, and `params` are the values, row after row. Returns the number of
    /// the last row, only for SQLite; those before it have the numbers before.
    ///
    /// # Errors
    /// When it fails. The work must then be dropped.
    pub async fn insert(
        &mut self,
        into: &'static str,
        columns: usize,
        params: &[Param<'_>],
    ) -> Result<Option<i64>, Failed> {
        self.begin_now().await?;
        match &mut self.0 {
            Inner::Later(_) => Err(Failed::no_row()),
            Inner::Sqlite(transaction) => {
                insertion::into_sqlite(&mut **transaction, into, columns, params).await.map(Some)
            }
            Inner::Postgres(begun) => {
                let inserted = insertion::into_postgres(begun.connection()?, Scope::Work, into, columns, params);
                within(inserted).await.map(|()| None)
            }
        }
    }

    /// Takes exclusive advisory locks on numbers, in ascending order, until the work ends. As the first statement it costs no
    /// extra round trip. A no-op for SQLite, which has one writer at a time.
    ///
    /// # Errors
    /// When it fails. The work must then be dropped.
    pub async fn lock(&mut self, numbers: &[i64]) -> Result<(), Failed> {
        match &mut self.0 {
            Inner::Later(pool @ Pool::Postgres(_)) => self.0 = begin(pool, numbers).await?,
            Inner::Postgres(begun) => within(run_raw(begun.connection()?, locking(numbers))).await?,
            Inner::Later(Pool::Sqlite(_)) | Inner::Sqlite(_) => {}
        }
        Ok(())
    }

    /// Whether a transaction has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !matches!(self.0, Inner::Later(_))
    }

    /// Whether statements are sent to a server, so that each costs a round trip.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self.0, Inner::Postgres(_) | Inner::Later(Pool::Postgres(_)))
    }

    /// Notifies listeners of a channel at the commit. A no-op for SQLite, where listeners poll.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn notify(&mut self, channel: &'static str) -> Result<(), Failed> {
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
    pub async fn commit(self) -> Result<(), Failed> {
        match self.0 {
            Inner::Later(_) => Ok(()),
            Inner::Sqlite(transaction) => Ok(transaction.commit().await?),
            Inner::Postgres(begun) => begun.commit().await,
        }
    }

    /// Inserts rows and commits. If nothing else was done, in a single statement. Returns the same as [`Self::insert`].
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn finish(
        self,
        into: &'static str,
        columns: usize,
        params: &[Param<'_>],
    ) -> Result<Option<i64>, CommitError<Infallible>> {
        let mut work = match self.0 {
            Inner::Later(pool) => return alone(&pool, into, columns, params).await,
            begun => Self(begun),
        };
        let last = work.insert(into, columns, params).await.map_err(CommitError::Failed)?;
        work.commit().await.map_err(CommitError::of)?;
        Ok(last)
    }

    async fn begin_now(&mut self) -> Result<(), Failed> {
        if let Inner::Later(pool) = &self.0 {
            self.0 = begin(pool, &[]).await?;
        }
        Ok(())
    }
}

/// Why a unit of work is not durable.
#[derive(Debug)]
pub enum CommitError<R, F = Failed> {
    /// Something in it was rejected: a step whose precondition no longer holds. Nothing was changed by it.
    Rejected(R),
    /// The database failed. Nothing was changed, and nothing will be.
    Failed(F),
    /// The connection was lost, or the database did not answer, during the commit. The outcome is unknown.
    Unknown(F),
}

impl CommitError<Infallible> {
    /// For a failure of the commit itself.
    fn of(failed: Failed) -> Self {
        if failed.is_certain() { Self::Failed(failed) } else { Self::Unknown(failed) }
    }
}

impl Begun {
    /// Begins and takes the locks in one round trip. It changes nothing, so it is retried on another connection.
    async fn begin(connections: &Connections, locks: &[i64]) -> Result<Self, Failed> {
        let connection = connections.take().await?;
        let untested = connection.untested;
        match Self::begin_on(connection, locks).await {
            Err(failed) if untested && !failed.is_certain() => {
                Self::begin_on(connections.take_tested().await?, locks).await
            }
            begun => begun,
        }
    }

    async fn begin_on(connection: Connection, locks: &[i64]) -> Result<Self, Failed> {
        let mut begin = "BEGIN".to_owned();
        if connection.is_pooled() {
            begin.extend(["; ", connection.guard()]);
        }
        if !locks.is_empty() {
            begin.extend(["; ", &locking(locks)]);
        }
        let mut begun = Self { connection: Some(connection) };
        run_raw(begun.connection()?, begin).await?;
        Ok(begun)
    }

    fn connection(&mut self) -> Result<&mut Connection, Failed> {
        self.connection.as_mut().ok_or_else(Failed::no_row)
    }

    async fn commit(mut self) -> Result<(), Failed> {
        within(run_raw(self.connection()?, "COMMIT".to_owned())).await?;
        if let Some(connection) = self.connection.take() {
            connection.home().keep(connection);
        }
        Ok(())
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            tokio::spawn(async move {
                if within(run_raw(&mut connection, "ROLLBACK".to_owned())).await.is_ok() {
                    connection.home().keep(connection);
                }
            });
        }
    }
}

/// Runs statements without parameters. Their text holds no input.
async fn run_raw(connection: &mut Connection, sql: String) -> Result<(), Failed> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection.inner()).await?;
    Ok(())
}

/// Locks are taken in the given order.
fn locking(numbers: &[i64]) -> String {
    let mut sql = "SELECT pg_advisory_xact_lock(lock) FROM unnest('{".to_owned();
    for (index, number) in numbers.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = write!(sql, "{}{number}", if index == 0 { "" } else { "," });
    }
    sql.push_str("}'::bigint[]) AS lock");
    sql
}

async fn begin(pool: &Pool, locks: &[i64]) -> Result<Inner, Failed> {
    Ok(match pool {
        // Writers queue here. At their first write, a transaction that has read before would fail.
        Pool::Sqlite(pool) => Inner::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
        Pool::Postgres(connections) => Inner::Postgres(within(Begun::begin(connections, locks)).await?),
    })
}

/// A single statement. Without a connection nothing can have been changed, so that failure is certain.
async fn alone(
    pool: &Pool,
    into: &'static str,
    columns: usize,
    params: &[Param<'_>],
) -> Result<Option<i64>, CommitError<Infallible>> {
    let undone = |error: sqlx::Error| CommitError::Failed(error.into());
    match pool {
        Pool::Sqlite(pool) => {
            let mut connection = pool.acquire().await.map_err(undone)?;
            insertion::into_sqlite(&mut *connection, into, columns, params).await.map(Some)
        }
        Pool::Postgres(connections) => {
            let mut connection = connections.take().await.map_err(undone)?;
            let inserted = within(insertion::into_postgres(&mut connection, Scope::Alone, into, columns, params)).await;
            connections.keep_after(connection, &inserted);
            inserted.map(|()| None)
        }
    }
    .map_err(CommitError::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_locked_in_their_order() {
        let sql = "SELECT pg_advisory_xact_lock(lock) FROM unnest('{-7,3}'::bigint[]) AS lock";
        assert_eq!(locking(&[-7, 3]), sql);
    }
}
