//! Reads the state of the database every few seconds: its clock, its free space, and whether a failover may lose commits.

use super::data_loss::DataLossWatch;
use super::database_clock::{DatabaseClock, record_offset};
use crate::broker::Broker;
use crate::config::database::Url;
use crate::database::{self, Database};
use crate::metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

const MEASUREMENT_INTERVAL: Duration = Duration::from_secs(5);

/// A periodic measurement of the database, reported to metrics, log and broker.
pub struct DatabaseWatch {
    pub database: Database,
    pub url: Url,
    pub clock: Arc<DatabaseClock>,
    pub data_loss: DataLossWatch,
    pub broker: Arc<Broker>,
}

impl DatabaseWatch {
    /// Measures continually. If a measurement fails, the last values stay in force; `crate::database` logs the failure.
    pub async fn run(mut self) {
        let mut ticks = interval(MEASUREMENT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_different = false;
        loop {
            ticks.tick().await;
            report_free_space(&self.url, self.broker.metrics());
            if let Ok(cause) = self.database.data_loss_cause().await {
                self.data_loss.observe(cause, self.broker.metrics());
            }
            let Ok(Some(offset)) = self.clock.measure(&self.database).await else { continue };
            let is_different = record_offset(offset, self.broker.metrics());
            self.broker.set_clocks_differ(is_different);
            if std::mem::replace(&mut was_different, is_different) != is_different {
                let seconds = offset.as_secs_f64();
                if is_different {
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
        && let Ok(space) = database::disk_space(path)
    {
        metrics.set_database_space(space.free, space.total);
    }
}
