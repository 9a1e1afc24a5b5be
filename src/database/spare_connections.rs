//! PostgreSQL connections that are at hand: after a success one is kept, and taken again without a question.
//!
//! The pool asks the server whether a connection still works when it is taken and once more when it is given back: two
//! journeys for one statement. So what is kept may be broken by the time it is taken: whoever takes it sends again what
//! may be sent twice, on one that the pool has tested.

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most that are kept. The others of the pool are for whoever waits for one there.
const AT_MOST: usize = 3;
/// How long a connection that did nothing is taken for one that works.
const UNTESTED_FOR: Duration = Duration::from_secs(1);
/// When a connection goes back to the pool, which closes those that are old.
const KEPT_FOR: Duration = Duration::from_mins(1);

/// The pool, and what is at hand of it.
#[derive(Debug, Clone)]
pub struct Connections {
    pub(super) pool: PgPool,
    kept: Arc<Kept>,
}

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Connection>>);

/// A connection. Dropped, it goes back to the pool.
#[derive(Debug)]
pub struct Connection {
    inner: PoolConnection<sqlx::Postgres>,
    taken_at: Instant,
    used_at: Instant,
    /// Whether it may be broken: nobody has asked.
    pub(super) untested: bool,
}

impl Connections {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, kept: Arc::default() }
    }

    /// One that is at hand, or one of the pool.
    pub(super) async fn take(&self) -> Result<Connection, sqlx::Error> {
        let kept = self.kept.lock().pop();
        match kept {
            Some(mut connection) if connection.used_at.elapsed() < UNTESTED_FOR => {
                connection.untested = true;
                Ok(connection)
            }
            _ => self.take_tested().await,
        }
    }

    /// One of the pool.
    pub(super) async fn take_tested(&self) -> Result<Connection, sqlx::Error> {
        let inner = self.pool.acquire().await?;
        let now = Instant::now();
        Ok(Connection { inner, taken_at: now, used_at: now, untested: false })
    }

    /// Keeps one whose last statement was done, outside of a transaction.
    pub(super) fn keep(&self, mut connection: Connection) {
        connection.used_at = Instant::now();
        let mut kept = self.kept.lock();
        if kept.len() < AT_MOST && connection.taken_at.elapsed() < KEPT_FOR && !self.pool.is_closed() {
            kept.push(connection);
        }
    }

    /// Gives every connection back.
    pub(super) async fn close(&self) {
        // From here on none is kept.
        let closed = self.pool.close();
        self.kept.lock().clear();
        closed.await;
    }
}

impl Connection {
    /// Ends the connection, and with it whatever it is about.
    pub(super) fn end(mut self) {
        self.inner.close_on_drop();
    }
}

impl Deref for Connection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Kept {
    /// Going back to the pool takes a runtime, which may be gone.
    fn drop(&mut self) {
        for connection in self.lock().drain(..) {
            drop(connection.inner.leak());
        }
    }
}
