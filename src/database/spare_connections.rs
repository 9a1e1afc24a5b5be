//! Spare PostgreSQL connections: after a success a connection is kept, and used again without a test.
//!
//! The pool tests a connection when it is taken and again when it is returned: two additional round trips for one
//! statement. A spare connection may be broken when it is taken, so its user repeats a harmless statement on a
//! connection that the pool has tested.

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Maximum number of spare connections. The others stay in the pool for tasks that wait there.
const AT_MOST: usize = 3;
/// How long an idle connection counts as working.
const UNTESTED_FOR: Duration = Duration::from_secs(1);
/// Time after which a connection returns to the pool, which closes old ones.
const KEPT_FOR: Duration = Duration::from_mins(1);

/// The pool and its spare connections.
#[derive(Debug, Clone)]
pub struct Connections {
    pub(super) pool: PgPool,
    kept: Arc<Kept>,
}

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Connection>>);

/// A connection. When dropped, it returns to the pool.
#[derive(Debug)]
pub struct Connection {
    inner: PoolConnection<sqlx::Postgres>,
    taken_at: Instant,
    used_at: Instant,
    /// Whether it may be broken, because it was not tested.
    pub(super) untested: bool,
}

impl Connections {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, kept: Arc::default() }
    }

    /// A spare connection, or else one of the pool.
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

    /// A tested connection of the pool.
    pub(super) async fn take_tested(&self) -> Result<Connection, sqlx::Error> {
        let inner = self.pool.acquire().await?;
        let now = Instant::now();
        Ok(Connection { inner, taken_at: now, used_at: now, untested: false })
    }

    /// Keeps a connection whose last statement succeeded, outside of a transaction.
    pub(super) fn keep(&self, mut connection: Connection) {
        connection.used_at = Instant::now();
        let mut kept = self.kept.lock();
        if kept.len() < AT_MOST && connection.taken_at.elapsed() < KEPT_FOR && !self.pool.is_closed() {
            kept.push(connection);
        }
    }

    /// Returns all spare connections to the pool.
    pub(super) async fn close(&self) {
        // From here on no connection is kept.
        let closed = self.pool.close();
        self.kept.lock().clear();
        closed.await;
    }
}

impl Connection {
    /// Closes the connection, and with it any statement in progress.
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
    /// Returning to the pool needs a runtime, which may have ended.
    fn drop(&mut self) {
        for connection in self.lock().drain(..) {
            drop(connection.inner.leak());
        }
    }
}
