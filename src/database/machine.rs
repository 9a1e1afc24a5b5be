//! The clock of a database server, and the free space of an SQLite file.

use super::failed::Failed;
use super::handle::Database;
use super::pool::Pool;
use jiff::{SignedDuration, Timestamp};
use std::path::Path;
use std::time::Instant;

/// The clock of a PostgreSQL server at one moment.
#[derive(Debug, Clone, Copy)]
pub struct ServerTime {
    /// The server's time.
    pub time: Timestamp,
    /// The moment, by this machine's monotonic clock.
    pub at: Instant,
    /// Maximum error: half the duration of the query.
    pub within: SignedDuration,
}

/// The file system of an SQLite file.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// Bytes available to unprivileged processes.
    pub free: u64,
    /// Total bytes.
    pub total: u64,
}

impl Database {
    /// The server's clock; `None` for SQLite, which runs on this machine.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn server_time(&self) -> Result<Option<ServerTime>, Failed> {
        const NOW: &str = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)";
        if !matches!(self.pool, Pool::Postgres(_)) {
            return Ok(None);
        }
        let before = Instant::now();
        let rows = self.look_up(NOW, &[]).await?;
        let half = before.elapsed() / 2;
        let micros = rows.first().ok_or_else(Failed::no_row)?.number(0)?;
        let time = Timestamp::from_microsecond(micros).map_err(|_| Failed::no_row())?;
        Ok(Some(ServerTime { time, at: before + half, within: SignedDuration::try_from(half).unwrap_or_default() }))
    }
}

/// The free space of the file's disk.
///
/// # Errors
/// The operating system reports an error.
pub fn space(file: &Path) -> std::io::Result<Space> {
    let found = rustix::fs::statvfs(file)?;
    Ok(Space {
        free: found.f_bavail.saturating_mul(found.f_frsize),
        total: found.f_blocks.saturating_mul(found.f_frsize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_some_room_and_not_more_than_it_is_large() {
        let folder = tempfile::tempdir().expect("a folder");
        let space = space(folder.path()).expect("told");
        assert!(space.total > 0 && space.free <= space.total, "{space:?}");
        assert!(super::space(&folder.path().join("none")).is_err());
    }
}
