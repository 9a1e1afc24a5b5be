//! The clock that all replicas share: the PostgreSQL server's clock, extended by a monotonic clock between two
//! measurements.
//!
//! A wrong or changed clock of this machine therefore neither expires tickets nor deletes events too early.

use crate::database::{Database, DatabaseError, ServerTime};
use crate::metrics::Metrics;
use crate::model::clock::{Clock, SystemClock};
use arc_swap::ArcSwapOption;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// Number of queries for one measurement. Only the result of the most exact query is used.
const SAMPLES: usize = 4;
/// The tolerated offset of this machine's clock, which decides whether callers' tokens have expired.
const MAX_OFFSET: SignedDuration = SignedDuration::from_secs(5);

/// The clock of the PostgreSQL server. With SQLite, the clock of this machine.
#[derive(Default)]
pub struct DatabaseClock(ArcSwapOption<ServerTime>);

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        match &*self.0.load() {
            Some(server) => server.time.saturating_add(server.measured_at.elapsed()).unwrap_or(Timestamp::MAX),
            None => SystemClock.now(),
        }
    }
}

impl DatabaseClock {
    /// Measures the time of the database. Returns how far the clock of this machine is ahead; `None` with SQLite.
    pub async fn measure(&self, database: &Database) -> Result<Option<SignedDuration>, DatabaseError> {
        let Some(mut best) = database.server_time().await? else { return Ok(None) };
        // A slower query, such as the first on a connection, measures less exactly.
        for _ in 1..SAMPLES {
            if let Some(sample) = database.server_time().await?.filter(|sample| sample.max_error < best.max_error) {
                best = sample;
            }
        }
        let local_time = SystemClock.now();
        let database_time = best.time.saturating_add(best.measured_at.elapsed()).unwrap_or(Timestamp::MAX);
        self.0.store(Some(Arc::new(best)));
        let offset = local_time.duration_since(database_time);
        // An offset within the error of the measurement counts as zero.
        Ok(Some(if offset.abs() <= best.max_error { SignedDuration::ZERO } else { offset }))
    }
}

/// Sets the metric of the offset. Returns whether the offset exceeds the tolerance.
pub fn record_offset(offset: SignedDuration, metrics: &Metrics) -> bool {
    metrics.set_database_clock_offset(offset.as_secs_f64());
    offset.abs() > MAX_OFFSET
}
