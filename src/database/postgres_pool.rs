//! A pool of connections to a PostgreSQL server. Each new connection chooses the host and reads the password; `sqlx`'s pool has
//! fixed options.
//!
//! A connection that was idle for less than a second is used again without a test, which would be a round trip. It may be
//! broken, so its user repeats a read-only statement on a tested connection, or finds out whether a write took effect.

use super::errors::{DatabaseError, OpenError};
use super::server::{NewConnection, Server};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Error};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{sleep, sleep_until, timeout, timeout_at};

/// Maximum number of connections in use. Audit events are written by one task and policies rarely; the LISTEN connection is not
/// counted.
const MAX_CONNECTIONS: u32 = 8;
/// Maximum number of connections that are opened at the same time.
const MAX_CONNECTING: usize = 2;
/// Time limit of waiting for another user's connection, and of retries while servers refuse connections.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a user waits for its new connection, which may be at the second host. The attempt itself has the URL's time limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// Pause after the first refused connection. It doubles with each further one.
const INITIAL_RETRY_PAUSE: Duration = Duration::from_millis(10);
/// How long an idle connection is used without a test.
const MAX_UNTESTED_IDLE: Duration = Duration::from_secs(1);
/// Time limit of a test. If a test fails, probably all idle connections are broken.
const TEST_TIMEOUT: Duration = Duration::from_secs(2);
/// An older connection is closed.
const MAX_AGE: Duration = Duration::from_mins(30);
/// A connection that was idle for longer is closed.
const MAX_IDLE: Duration = Duration::from_mins(10);
/// Time limit of closing all connections, longer than that of a statement.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A pool of connections to a PostgreSQL server.
#[derive(Debug, Clone)]
pub struct PostgresPool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    server: Arc<Server>,
    /// Where notifications come from. `None` behind a pooler without `directUrl`: a session there cannot listen.
    notifying_server: Option<Arc<Server>>,
    /// One permit for each connection in use.
    permits: Arc<Semaphore>,
    /// One permit for each connection that is being opened. A user that waits for one also takes a connection that is released.
    connect_permits: Arc<Semaphore>,
    released: Notify,
    /// The last one used is at the end.
    idle: Mutex<VecDeque<OpenConnection>>,
    closed: watch::Sender<bool>,
}

#[derive(Debug)]
struct OpenConnection {
    inner: PgConnection,
    uses_pooler: bool,
    opened_at: Instant,
    used_at: Instant,
}

/// A connection in use. When dropped, it is closed. The server ends a statement in progress by its own time limit, but not a
/// commit that waits for a standby.
#[derive(Debug)]
pub struct Connection {
    open: OpenConnection,
    /// Whether it may be broken, because it was not tested.
    pub(super) untested: bool,
    pool: PostgresPool,
    permit: OwnedSemaphorePermit,
}

impl PostgresPool {
    pub(super) fn new(server: Arc<Server>, notifying_server: Option<Arc<Server>>) -> Self {
        Self(Arc::new(Inner {
            server,
            notifying_server,
            permits: Arc::new(Semaphore::new(MAX_CONNECTIONS as usize)),
            connect_permits: Arc::new(Semaphore::new(MAX_CONNECTING)),
            released: Notify::new(),
            idle: Mutex::default(),
            closed: watch::Sender::new(false),
        }))
    }

    /// Adds a connection that was opened before the pool.
    pub(super) async fn add(&self, connection: NewConnection) -> Result<(), Error> {
        let open = OpenConnection::new(connection).await?;
        self.idle().push_back(open);
        Ok(())
    }

    /// The server to listen to, if there is one.
    pub(super) fn notifying_server(&self) -> Option<Arc<Server>> {
        self.0.notifying_server.clone()
    }

    /// A connection that was tested, or used within the last second.
    pub(super) async fn acquire(&self) -> Result<Connection, Error> {
        self.acquire_with(MAX_UNTESTED_IDLE).await
    }

    pub(super) async fn acquire_tested(&self) -> Result<Connection, Error> {
        self.acquire_with(Duration::ZERO).await
    }

    async fn acquire_with(&self, max_untested_idle: Duration) -> Result<Connection, Error> {
        let deadline = tokio::time::Instant::now() + ACQUIRE_TIMEOUT;
        let permit = timeout_at(deadline, self.0.permits.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| Error::PoolTimedOut)?.map_err(|_| Error::PoolClosed)?;
        if *self.0.closed.borrow() {
            return Err(Error::PoolClosed);
        }
        loop {
            let released = self.0.released.notified();
            let mut released = std::pin::pin!(released);
            // From here on a released connection wakes this task.
            released.as_mut().enable();
            let idle = self.idle().pop_back().filter(OpenConnection::is_young);
            if let Some(mut open) = idle {
                let untested = open.used_at.elapsed() < max_untested_idle;
                if untested || matches!(timeout(TEST_TIMEOUT, open.inner.ping()).await, Ok(Ok(()))) {
                    return Ok(Connection { open, untested, pool: self.clone(), permit });
                }
                self.idle().clear();
            }
            tokio::select! {
                // If a failed test took until the deadline, a new connection is still opened while a permit is free.
                biased;
                connect_permit = self.0.connect_permits.clone().acquire_owned() => {
                    let connect_permit = connect_permit.map_err(|_| Error::PoolClosed)?;
                    return self.clone().connect_detached(permit, connect_permit).await;
                }
                () = released => {}
                () = sleep_until(deadline) => return Err(Error::PoolTimedOut),
            }
        }
    }

    /// Connects in a separate task: an attempt that its user no longer waits for still finds out which host accepts
    /// connections.
    async fn connect_detached(
        self,
        permit: OwnedSemaphorePermit,
        connect_permit: OwnedSemaphorePermit,
    ) -> Result<Connection, Error> {
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            let open = match self.connect_with_retries().await {
                Ok(connection) => OpenConnection::new(connection).await.map_err(OpenError::from),
                Err(error) => Err(error),
            };
            drop(connect_permit);
            let connection = open.map(|open| Connection { open, untested: false, pool: self.clone(), permit });
            // A connection that its user no longer waits for becomes idle.
            if let Err(Ok(unused)) = sender.send(connection) {
                self.release(unused);
            }
        });
        let connection = timeout(CONNECT_TIMEOUT, receiver).await.map_err(|_| Error::PoolTimedOut)?;
        connection.map_err(|_| Error::WorkerCrashed)?.map_err(Error::from)
    }

    /// Retries until [`ACQUIRE_TIMEOUT`] while servers refuse connections, as they do during a restart or a failover.
    async fn connect_with_retries(&self) -> Result<NewConnection, OpenError> {
        let (began, mut pause) = (Instant::now(), INITIAL_RETRY_PAUSE);
        loop {
            match self.0.server.connect().await {
                Err(error) if error.is_refusal() && began.elapsed() + pause < ACQUIRE_TIMEOUT => sleep(pause).await,
                result => return result,
            }
            pause *= 2;
        }
    }

    /// Makes a connection idle after a statement with this result, outside of a transaction. If the statement may have had an
    /// effect although it failed, the connection may be broken and is closed.
    pub(super) fn release_after<T>(&self, connection: Connection, result: &Result<T, DatabaseError>) {
        if result.as_ref().err().is_none_or(DatabaseError::had_no_effect) {
            self.release(connection);
        }
    }

    /// Makes a connection idle whose last statement succeeded, outside of a transaction.
    pub(super) fn release(&self, connection: Connection) {
        let Connection { mut open, permit, .. } = connection;
        open.used_at = Instant::now();
        let mut idle = self.idle();
        if !*self.0.closed.borrow() {
            while idle.front().is_some_and(|oldest| !oldest.is_young()) {
                idle.pop_front();
            }
            idle.push_back(open);
        }
        drop(idle);
        drop(permit);
        self.0.released.notify_one();
    }

    /// Closes every connection, after those in use are released. From now on the pool returns none.
    pub(super) async fn close(&self) {
        self.0.closed.send_replace(true);
        let closing = async {
            let _ = self.0.permits.acquire_many(MAX_CONNECTIONS).await;
            let idle = std::mem::take(&mut *self.idle());
            for open in idle {
                let _ = open.inner.close().await;
            }
        };
        let _ = timeout(CLOSE_TIMEOUT, closing).await;
    }

    /// Returns after [`Self::close`] was called.
    pub(super) async fn closed(&self) {
        let mut closed = self.0.closed.subscribe();
        let _ = closed.wait_for(|closed| *closed).await;
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<OpenConnection>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenConnection {
    async fn new(connection: NewConnection) -> Result<Self, Error> {
        let NewConnection { connection: mut inner, uses_pooler } = connection;
        if !uses_pooler {
            let session = sqlx::raw_sql(super::session_settings::SESSION_SETTINGS).execute(&mut inner);
            timeout(TEST_TIMEOUT, session).await.map_err(|_| Error::PoolTimedOut)??;
        }
        let now = Instant::now();
        Ok(Self { inner, uses_pooler, opened_at: now, used_at: now })
    }

    fn is_young(&self) -> bool {
        self.opened_at.elapsed() < MAX_AGE && self.used_at.elapsed() < MAX_IDLE
    }
}

impl Connection {
    /// Whether it leads through a pooler: two statements outside of a transaction may run in two sessions.
    pub(super) const fn uses_pooler(&self) -> bool {
        self.open.uses_pooler
    }

    /// The first statement of each transaction through a pooler.
    pub(super) fn guard(&self) -> &'static str {
        self.pool.0.server.guard()
    }

    pub(super) const fn inner(&mut self) -> &mut PgConnection {
        &mut self.open.inner
    }

    /// Makes it idle in its pool: see [`PostgresPool::release`].
    pub(super) fn release(self) {
        self.pool.clone().release(self);
    }
}
