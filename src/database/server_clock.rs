//! The clock of a PostgreSQL server.

use super::errors::DatabaseError;
use super::handle::Database;
use super::pool::Pool;
use jiff::{SignedDuration, Timestamp};
use std::time::Instant;

/// One measurement of a PostgreSQL server's clock.
#[derive(Debug, Clone, Copy)]
pub struct ServerTime {
    /// The server's time at `measured_at`.
    pub time: Timestamp,
    /// The time of the measurement by this machine's monotonic clock: the middle of the query.
    pub measured_at: Instant,
    /// Maximum error of `time`: half the duration of the query.
    pub max_error: SignedDuration,
}

impl Database {
    /// Measures the server's clock. `None` for SQLite, which has this machine's.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn server_time(&self) -> Result<Option<ServerTime>, DatabaseError> {
        const NOW: &str = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)";
        if !matches!(self.pool, Pool::Postgres(_)) {
            return Ok(None);
        }
        let before = Instant::now();
        let rows = self.look_up(NOW, &[]).await?;
        let half = before.elapsed() / 2;
        let micros = rows.first().ok_or_else(DatabaseError::missing_row)?.number(0)?;
        let time = Timestamp::from_microsecond(micros).map_err(|_| DatabaseError::missing_row())?;
        let max_error = SignedDuration::try_from(half).unwrap_or_default();
        Ok(Some(ServerTime { time, measured_at: before + half, max_error }))
    }
}
