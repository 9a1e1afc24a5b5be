//! Waiting for changes made by other replicas.

use super::pool::Pool;
use sqlx::postgres::{PgListener, PgPool};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

/// Polling interval. SQLite only polls; for PostgreSQL polling ensures the promised second if a notification is
/// lost.
const LOOK_EVERY: Duration = Duration::from_millis(500);
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
            Pool::Postgres(spare_connections) => {
                Some(tokio::spawn(listen(spare_connections.pool.clone(), channel, told.clone())))
            }
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

/// Listens until the pool is closed.
async fn listen(pool: PgPool, channel: &'static str, told: Arc<Notify>) {
    while !pool.is_closed() {
        if let Err(error) = listen_once(&pool, channel, &told).await {
            tracing::debug!(%error, "the PostgreSQL LISTEN connection was interrupted");
        }
        sleep(LISTEN_AGAIN).await;
    }
}

async fn listen_once(pool: &PgPool, channel: &str, told: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(channel).await?;
    loop {
        // Changes before the connection, or while it was lost, were not announced: check for them.
        told.notify_one();
        listener.try_recv().await?;
    }
}
