//! Whether a crash or a failover of a PostgreSQL server may lose commits.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// Why it may, from four columns: `fsync`, `full_page_writes`, `synchronous_commit`, and whether the server is a standby. The
/// server's standbys are not considered here: they come and go while connections stay.
pub fn doubt(row: &PgRow, from: usize, allows_data_loss: bool) -> Result<Option<&'static str>, sqlx::Error> {
    let setting = |column: usize| row.try_get::<String, _>(from + column);
    let (fsync, full_page_writes, synchronous_commit) = (setting(0)?, setting(1)?, setting(2)?);
    let in_recovery: bool = row.try_get(from + 3)?;
    Ok(if fsync != "on" {
        Some("fsync is off")
    } else if full_page_writes != "on" {
        Some("full_page_writes is off")
    } else if !allows_data_loss && !is_synchronous(&synchronous_commit) {
        Some("synchronous_commit is neither on nor remote_apply; database.allowDataLoss: true accepts this")
    } else if in_recovery {
        Some("the server is a standby")
    } else {
        None
    })
}

/// Whether a commit waits until its WAL is on the disks of every server that it is promised for.
pub fn is_synchronous(synchronous_commit: &str) -> bool {
    // `local` does not wait for a standby, and `remote_write` not for its disk.
    matches!(synchronous_commit, "on" | "remote_apply")
}
