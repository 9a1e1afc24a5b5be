//! The connections to a PostgreSQL server. Each new one chooses the host and reads the password; `sqlx`'s pool connects with fixed
//! options.
//!
//! A connection that was idle for less than a second is used again without a test, which would be a round trip. It may be broken,
//! so its user repeats a harmless statement on a tested one, or finds out whether the statement took effect.

use super::failed::{ConnectError, Failed};
use super::server::{Connected, Server};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Error};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{sleep, sleep_until, timeout, timeout_at};

/// Audit events are written by one task and policies rarely; one more connection listens.
const AT_MOST: u32 = 8;
/// Maximum number of connections that are made at the same time.
const CONNECTING: usize = 2;
/// Time limit of waiting for another user's connection, and of retries while servers refuse connections.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a user waits for its new connection, which may be at the second host. The attempt itself has the URL's time limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// Pause after a refused connection. It doubles with each.
const RETRY_AFTER: Duration = Duration::from_millis(10);
/// How long an idle connection counts as working.
const UNTESTED_FOR: Duration = Duration::from_secs(1);
/// Time limit of a test. If one fails, probably all idle connections are broken.
const TEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum age, and maximum time without use.
const KEPT_FOR: Duration = Duration::from_mins(30);
const IDLE_FOR: Duration = Duration::from_mins(10);
/// Time limit of closing all connections, longer than that of a statement.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The connections, and the way to new ones.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    server: Arc<Server>,
    /// Where notifications come from. `None`: there is no session of one's own to listen in.
    listens: Option<Arc<Server>>,
    places: Arc<Semaphore>,
    /// Few connections are made at once. A user that would have to wait for its turn also takes one that is returned.
    connecting: Arc<Semaphore>,
    returned: Notify,
    /// The last one used is at the end.
    idle: Mutex<VecDeque<Live>>,
    closed: watch::Sender<bool>,
}

#[derive(Debug)]
struct Live {
    inner: PgConnection,
    pooled: bool,
    made_at: Instant,
    used_at: Instant,
}

/// A connection. When dropped, it is closed. The server ends a statement in progress by its own time limit, but not a commit that
/// waits for a standby.
#[derive(Debug)]
pub struct Connection {
    live: Live,
    /// Whether it may be broken, because it was not tested.
    pub(super) untested: bool,
    home: Connections,
    place: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(server: Arc<Server>, listens: Option<Arc<Server>>) -> Self {
        Self(Arc::new(Inner {
            server,
            listens,
            places: Arc::new(Semaphore::new(AT_MOST as usize)),
            connecting: Arc::new(Semaphore::new(CONNECTING)),
            returned: Notify::new(),
            idle: Mutex::default(),
            closed: watch::Sender::new(false),
        }))
    }

    /// Keeps a connection that was made before.
    pub(super) async fn adopt(&self, connected: Connected) -> Result<(), Error> {
        let live = Live::new(connected).await?;
        self.idle().push_back(live);
        Ok(())
    }

    /// The server whose notifications can be heard.
    pub(super) fn listens(&self) -> Option<Arc<Server>> {
        self.0.listens.clone()
    }

    /// A connection, tested or used just now.
    pub(super) async fn take(&self) -> Result<Connection, Error> {
        self.take_one(UNTESTED_FOR).await
    }

    /// A tested connection.
    pub(super) async fn take_tested(&self) -> Result<Connection, Error> {
        self.take_one(Duration::ZERO).await
    }

    async fn take_one(&self, untested_for: Duration) -> Result<Connection, Error> {
        let patience = tokio::time::Instant::now() + ACQUIRE_TIMEOUT;
        let acquired = timeout_at(patience, self.0.places.clone().acquire_owned()).await;
        let place = acquired.map_err(|_| Error::PoolTimedOut)?.map_err(|_| Error::PoolClosed)?;
        if *self.0.closed.borrow() {
            return Err(Error::PoolClosed);
        }
        loop {
            let returned = self.0.returned.notified();
            let mut returned = std::pin::pin!(returned);
            // From here on a returned connection wakes this task.
            returned.as_mut().enable();
            let found = self.idle().pop_back().filter(Live::is_young);
            if let Some(mut live) = found {
                let untested = live.used_at.elapsed() < untested_for;
                if untested || matches!(timeout(TEST_TIMEOUT, live.inner.ping()).await, Ok(Ok(()))) {
                    return Ok(Connection { live, untested, home: self.clone(), place });
                }
                self.idle().clear();
            }
            tokio::select! {
                // After a test that took all of the patience, a turn that is free is taken.
                biased;
                turn = self.0.connecting.clone().acquire_owned() => {
                    let turn = turn.map_err(|_| Error::PoolClosed)?;
                    return self.clone().make(place, turn).await;
                }
                () = returned => {}
                () = sleep_until(patience) => return Err(Error::PoolTimedOut),
            }
        }
    }

    /// Connects in a task of its own: an attempt that outlives its user's patience still finds out which host answers.
    async fn make(self, place: OwnedSemaphorePermit, turn: OwnedSemaphorePermit) -> Result<Connection, Error> {
        let (sender, made) = oneshot::channel();
        tokio::spawn(async move {
            let connected = self.connect().await;
            let live = match connected {
                Ok(connected) => Live::new(connected).await.map_err(ConnectError::from),
                Err(error) => Err(error),
            };
            drop(turn);
            let made = live.map(|live| Connection { live, untested: false, home: self.clone(), place });
            // The next user takes what this one did not wait for.
            if let Err(Ok(unused)) = sender.send(made) {
                self.keep(unused);
            }
        });
        let made = timeout(CONNECT_TIMEOUT, made).await.map_err(|_| Error::PoolTimedOut)?;
        made.map_err(|_| Error::WorkerCrashed)?.map_err(Error::from)
    }

    /// Connects. While servers refuse connections, as during a restart or a failover, it tries again for a while.
    async fn connect(&self) -> Result<Connected, ConnectError> {
        let (began, mut pause) = (Instant::now(), RETRY_AFTER);
        loop {
            match self.0.server.connect().await {
                Err(error) if error.is_refusal() && began.elapsed() + pause < ACQUIRE_TIMEOUT => sleep(pause).await,
                result => return result,
            }
            pause *= 2;
        }
    }

    /// Keeps a connection outside of a transaction, if it still works: the statement succeeded, or the server answered that it
    /// changed nothing.
    pub(super) fn keep_after<T>(&self, connection: Connection, result: &Result<T, Failed>) {
        if result.as_ref().err().is_none_or(Failed::is_certain) {
            self.keep(connection);
        }
    }

    /// Keeps a connection whose last statement succeeded, outside of a transaction.
    pub(super) fn keep(&self, connection: Connection) {
        let Connection { mut live, place, .. } = connection;
        live.used_at = Instant::now();
        let mut idle = self.idle();
        if !*self.0.closed.borrow() {
            while idle.front().is_some_and(|oldest| !oldest.is_young()) {
                idle.pop_front();
            }
            idle.push_back(live);
        }
        drop(idle);
        drop(place);
        self.0.returned.notify_one();
    }

    /// Closes every connection, when those in use are given back. From here on none is given out.
    pub(super) async fn close(&self) {
        self.0.closed.send_replace(true);
        let closing = async {
            let _ = self.0.places.acquire_many(AT_MOST).await;
            let idle = std::mem::take(&mut *self.idle());
            for live in idle {
                let _ = live.inner.close().await;
            }
        };
        let _ = timeout(CLOSE_TIMEOUT, closing).await;
    }

    /// Returns when they are closed.
    pub(super) async fn closed(&self) {
        let mut closed = self.0.closed.subscribe();
        let _ = closed.wait_for(|closed| *closed).await;
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Live>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    async fn new(connected: Connected) -> Result<Self, Error> {
        let Connected { connection: mut inner, pooled, .. } = connected;
        if !pooled {
            let session = sqlx::raw_sql(super::session::SESSION).execute(&mut inner);
            timeout(TEST_TIMEOUT, session).await.map_err(|_| Error::PoolTimedOut)??;
        }
        let now = Instant::now();
        Ok(Self { inner, pooled, made_at: now, used_at: now })
    }

    fn is_young(&self) -> bool {
        self.made_at.elapsed() < KEPT_FOR && self.used_at.elapsed() < IDLE_FOR
    }
}

impl Connection {
    /// Whether there is a pooler between: two statements outside of a transaction may run in two sessions.
    pub(super) const fn is_pooled(&self) -> bool {
        self.live.pooled
    }

    /// The first statement of each unit of work through a pooler.
    pub(super) fn guard(&self) -> &'static str {
        self.home.0.server.guard()
    }

    pub(super) const fn inner(&mut self) -> &mut PgConnection {
        &mut self.live.inner
    }

    /// Where it is kept.
    pub(super) fn home(&self) -> Connections {
        self.home.clone()
    }
}
