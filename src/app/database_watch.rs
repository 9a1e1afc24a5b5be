//! What is read of the database every few seconds: its clock, its disk, and whether a failover may lose commits.

use super::data_loss::DataLossWatch;
use super::database_clock::{DatabaseClock, exceeds_tolerance};
use crate::broker::Broker;
use crate::config::database::Url;
use crate::database::{self, Database};
use crate::metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// Interval of measurements.
const MEASUREMENT_INTERVAL: Duration = Duration::from_secs(5);

/// The database, and what was last seen of it.
pub struct DatabaseWatch {
    pub database: Database,
    pub url: Url,
    pub clock: Arc<DatabaseClock>,
    pub data_loss: DataLossWatch,
    pub broker: Arc<Broker>,
}

impl DatabaseWatch {
    /// Measures until the process stops.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        tokio::select! {
            () = self.follow() => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    }

    /// Database failures are logged elsewhere; what was measured last stays in force.
    async fn follow(&mut self) {
        let mut look = interval(MEASUREMENT_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut differed = false;
        loop {
            look.tick().await;
            report_free_space(&self.url, self.broker.metrics());
            if let Ok(found) = self.database.data_loss().await {
                self.data_loss.observe(found, self.broker.metrics());
            }
            let Ok(Some(ahead)) = self.clock.measure(&self.database).await else { continue };
            let differ = exceeds_tolerance(ahead, self.broker.metrics());
            self.broker.set_clocks_differ(differ);
            if std::mem::replace(&mut differed, differ) != differ {
                let seconds = ahead.as_secs_f64();
                if differ {
                    tracing::error!(seconds, "the system clock differs from the database clock; issuing is suspended");
                } else {
                    tracing::info!(seconds, "the system clock agrees with the database clock again");
                }
            }
        }
    }
}

fn report_free_space(url: &Url, metrics: &Metrics) {
    if let Url::SqliteFile(path) = url
        && let Ok(space) = database::space(path)
    {
        metrics.set_database_space(space.free, space.total);
    }
}
