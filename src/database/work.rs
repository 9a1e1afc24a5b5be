//! The unit of work: several statements that happen together or not at all.

use super::statement::{Param, Row, on_postgres, on_sqlite};
use super::{Failed, Pool, within};
use sqlx::{Postgres, Sqlite, Transaction};

/// A transaction. Dropped without [`Work::commit`] it is undone. An SQLite database has one connection, which it holds:
/// whoever has one asks nothing else of the database before it is done.
pub struct Work(Inner);

enum Inner {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Work {
    pub(super) async fn begin(pool: &Pool) -> Result<Self, Failed> {
        Ok(Self(match pool {
            // Writers queue up here and not at their first write, where one that has read before would be refused.
            Pool::Sqlite(pool) => Inner::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Pool::Postgres(pool) => Inner::Postgres(within(async { Ok(pool.begin().await?) }).await?),
        }))
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// When it fails; the work is to be dropped then.
    pub async fn run(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, Failed> {
        match &mut self.0 {
            Inner::Sqlite(transaction) => on_sqlite(&mut **transaction, sql, params).await,
            Inner::Postgres(transaction) => within(on_postgres(&mut **transaction, sql, params)).await,
        }
    }

    /// Wakes whoever listens on a channel, when the work is done. SQLite has no such thing: who listens looks.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn notify(&mut self, channel: &'static str) -> Result<(), Failed> {
        match &mut self.0 {
            Inner::Sqlite(_) => Ok(()),
            Inner::Postgres(_) => self.run("SELECT pg_notify($1, '')", &[channel.into()]).await.map(|_| ()),
        }
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// When it is not known to be; it may be all the same.
    pub async fn commit(self) -> Result<(), Failed> {
        match self.0 {
            Inner::Sqlite(transaction) => Ok(transaction.commit().await?),
            Inner::Postgres(transaction) => within(async { Ok(transaction.commit().await?) }).await,
        }
    }
}
