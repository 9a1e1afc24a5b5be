//! Waiting for changes made by other replicas.

use super::connections::Connections;
use super::pool::Pool;
use super::server::Server;
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

/// Polling interval. SQLite only polls, and so does PostgreSQL through a pooler; otherwise polling ensures the promised second if
/// a notification is lost.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Time limit of connecting to a host.
const LISTENING_WITHIN: Duration = Duration::from_secs(10);
/// Pause before a failed listener reconnects.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Waits on a channel.
#[derive(Debug)]
pub struct Listener {
    told: Arc<Notify>,
    look: Interval,
    task: Option<JoinHandle<()>>,
}

impl Listener {
    pub(super) fn start(pool: &Pool, channel: &'static str) -> Self {
        let told = Arc::new(Notify::new());
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let task = match pool {
            Pool::Sqlite(_) => None,
            Pool::Postgres(connections) => connections
                .listens()
                .map(|server| tokio::spawn(listen(connections.clone(), server, channel, told.clone()))),
        };
        Self { told, look, task }
    }

    /// Returns after a notification or after the polling interval. Dropping the future loses nothing.
    pub async fn next(&mut self) {
        tokio::select! {
            () = self.told.notified() => {}
            _ = self.look.tick() => {}
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

/// Listens until the connections are closed.
async fn listen(connections: Connections, server: Arc<Server>, channel: &'static str, told: Arc<Notify>) {
    let again = async {
        loop {
            if let Err(error) = listen_once(&server, channel, &told).await {
                tracing::debug!(%error, "the PostgreSQL LISTEN connection was interrupted");
                // Finds out which host is the primary now.
                let _ = server.connect().await;
            }
            sleep(LISTEN_AGAIN).await;
        }
    };
    tokio::select! {
        () = connections.closed() => {}
        () = again => {}
    }
}

/// Listens until the connection is lost, at the host of the last connection.
async fn listen_once(server: &Server, channel: &str, told: &Notify) -> Result<(), sqlx::Error> {
    // A listener needs a pool of sqlx.
    let options = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let pool = options.acquire_timeout(LISTENING_WITHIN).connect_lazy_with(server.last_host().await?);
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(channel).await?;
    loop {
        // Changes before the connection, or while it was lost, were not announced: check for them.
        told.notify_one();
        if listener.try_recv().await?.is_none() {
            return Err(sqlx::Error::WorkerCrashed);
        }
    }
}
