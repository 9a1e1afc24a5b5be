//! The clock that all replicas share: the PostgreSQL server's, which a monotonic clock carries on between two looks at it.
//!
//! So a machine whose own clock is wrong, or is set while we run, ends nobody's ticket and deletes no event too early.

use crate::broker::Broker;
use crate::config::database::Url;
use crate::database::{self, Database, Failed, ServerTime};
use crate::metrics::Metrics;
use crate::model::clock::{Clock, SystemClock};
use arc_swap::ArcSwapOption;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// How often the database's machine is asked.
const EVERY: Duration = Duration::from_secs(5);
/// Questions of one look, of which the quickest counts.
const SAMPLES: usize = 4;
/// By how much this machine's clock may differ. Tokens of callers are judged by it.
const TOLERATED: SignedDuration = SignedDuration::from_secs(5);

/// The database's clock; this machine's with SQLite.
#[derive(Default)]
pub struct DatabaseClock(ArcSwapOption<ServerTime>);

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        match &*self.0.load() {
            Some(server) => server.time.saturating_add(server.at.elapsed()).unwrap_or(Timestamp::MAX),
            None => SystemClock.now(),
        }
    }
}

impl DatabaseClock {
    /// Asks the database for its time. Returns how far this machine's clock is ahead of it; nothing with SQLite.
    pub async fn measure(&self, database: &Database) -> Result<Option<SignedDuration>, Failed> {
        let Some(mut server) = database.server_time().await? else { return Ok(None) };
        // A question that took longer, as on a new connection, tells the time less exactly.
        for _ in 1..SAMPLES {
            if let Some(another) = database.server_time().await?.filter(|another| another.within < server.within) {
                server = another;
            }
        }
        let own = SystemClock.now();
        let there = server.time.saturating_add(server.at.elapsed()).unwrap_or(Timestamp::MAX);
        self.0.store(Some(Arc::new(server)));
        let ahead = own.duration_since(there);
        // What may be the question's own time is no difference.
        Ok(Some(if ahead.abs() <= server.within { SignedDuration::ZERO } else { ahead }))
    }
}

/// Whether clocks differ by more than is tolerated; the number for the metric beside it.
pub fn judge(ahead: SignedDuration, metrics: &Metrics) -> bool {
    metrics.set_database_clock_offset(ahead.as_secs_f64());
    ahead.abs() > TOLERATED
}

/// Follows the clock and the disk of the database, until the process stops.
pub async fn follow(
    database: Database,
    url: Url,
    clock: Arc<DatabaseClock>,
    broker: Arc<Broker>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut look = interval(EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let work = async {
        let mut differed = false;
        loop {
            look.tick().await;
            tell_space(&url, broker.metrics());
            // A database that cannot be asked is told elsewhere; its clock goes on meanwhile.
            let Ok(Some(ahead)) = clock.measure(&database).await else { continue };
            let differ = judge(ahead, broker.metrics());
            broker.set_clocks_differ(differ);
            if std::mem::replace(&mut differed, differ) != differ {
                let seconds = ahead.as_secs_f64();
                if differ {
                    tracing::error!(seconds, "the system clock differs from the database clock; issuing is suspended");
                } else {
                    tracing::info!(seconds, "the system clock agrees with the database clock again");
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
}

fn tell_space(url: &Url, metrics: &Metrics) {
    if let Url::SqliteFile(path) = url
        && let Ok(space) = database::space(path)
    {
        metrics.set_database_space(space.free, space.total);
    }
}
