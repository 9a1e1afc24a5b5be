//! The clock that all replicas share: the PostgreSQL server's clock, extended by a monotonic clock between two
//! measurements.
//!
//! Therefore a wrong or changed clock of this machine neither expires tickets nor deletes events too early.

use crate::database::{Database, Failed, ServerTime};
use crate::metrics::Metrics;
use crate::model::clock::{Clock, SystemClock};
use arc_swap::ArcSwapOption;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// Queries for one measurement; the fastest one counts.
const SAMPLES: usize = 4;
/// The tolerated offset of this machine's clock, which decides whether callers' tokens have expired.
const MAX_OFFSET: SignedDuration = SignedDuration::from_secs(5);

/// The database's clock; with SQLite this machine's clock.
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
    /// Measures the database's time. Returns how far this machine's clock is ahead of it; `None` with SQLite.
    pub async fn measure(&self, database: &Database) -> Result<Option<SignedDuration>, Failed> {
        let Some(mut server) = database.server_time().await? else { return Ok(None) };
        // A slower query, as on a new connection, measures less exactly.
        for _ in 1..SAMPLES {
            if let Some(another) = database.server_time().await?.filter(|another| another.within < server.within) {
                server = another;
            }
        }
        let own = SystemClock.now();
        let there = server.time.saturating_add(server.at.elapsed()).unwrap_or(Timestamp::MAX);
        self.0.store(Some(Arc::new(server)));
        let ahead = own.duration_since(there);
        // An offset below the duration of the query counts as zero.
        Ok(Some(if ahead.abs() <= server.within { SignedDuration::ZERO } else { ahead }))
    }
}

/// Whether the offset exceeds the tolerance. Also sets the metric.
pub fn exceeds_tolerance(ahead: SignedDuration, metrics: &Metrics) -> bool {
    metrics.set_database_clock_offset(ahead.as_secs_f64());
    ahead.abs() > MAX_OFFSET
}
