//! Waits for changes that other replicas made: by notifications of PostgreSQL, and by polling.

use super::pool::Pool;
use super::postgres_pool::PostgresPool;
use super::server::Server;
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

/// Polling interval. There are no notifications for SQLite and through a pooler. Otherwise polling finds a change within the
/// documented second if its notification is lost.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Time limit of connecting to a host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before a failed LISTEN connection is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Waits for changes that are announced on one channel.
#[derive(Debug)]
pub struct Listener {
    notified: Arc<Notify>,
    poll: Interval,
    task: Option<JoinHandle<()>>,
}

impl Listener {
    pub(super) fn start(pool: &Pool, channel: &'static str) -> Self {
        let notified = Arc::new(Notify::new());
        let mut poll = interval(POLL_INTERVAL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let task = match pool {
            Pool::Sqlite(_) => None,
            Pool::Postgres(pool) => pool
                .notifying_server()
                .map(|server| tokio::spawn(listen(pool.clone(), server, channel, notified.clone()))),
        };
        Self { notified, poll, task }
    }

    /// Returns after a notification or after the polling interval. Cancel safe: dropping the future loses no notification.
    pub async fn next(&mut self) {
        tokio::select! {
            () = self.notified.notified() => {}
            _ = self.poll.tick() => {}
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Listens until the pool is closed.
async fn listen(pool: PostgresPool, server: Arc<Server>, channel: &'static str, notified: Arc<Notify>) {
    let listening = async {
        loop {
            if let Err(error) = listen_once(&server, channel, &notified).await {
                tracing::debug!(%error, "the PostgreSQL LISTEN connection was interrupted");
                // Finds out which host is the primary now, for `last_host_options`.
                let _ = server.connect().await;
            }
            sleep(RECONNECT_PAUSE).await;
        }
    };
    tokio::select! {
        () = pool.closed() => {}
        () = listening => {}
    }
}

/// Listens at the host that accepted the last connection, until the LISTEN connection is lost.
async fn listen_once(server: &Server, channel: &str, notified: &Notify) -> Result<(), sqlx::Error> {
    // sqlx's PgListener needs a pool of sqlx.
    let options = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let pool = options.acquire_timeout(CONNECT_TIMEOUT).connect_lazy_with(server.last_host_options().await?);
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(channel).await?;
    loop {
        // At first, so that changes before the LISTEN are found; then after each notification.
        notified.notify_one();
        if listener.try_recv().await?.is_none() {
            return Err(sqlx::Error::WorkerCrashed);
        }
    }
}
