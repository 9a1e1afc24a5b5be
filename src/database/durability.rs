//! Whether a crash or a failover of a PostgreSQL server may lose commits.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// Why it may, from four columns: `fsync`, `full_page_writes`, `synchronous_commit`, and whether the server is a standby.
pub fn doubt(row: &PgRow, from: usize) -> Result<Option<&'static str>, sqlx::Error> {
    let setting = |column: usize| row.try_get::<String, _>(from + column);
    let (fsync, full_page_writes, synchronous_commit) = (setting(0)?, setting(1)?, setting(2)?);
    let in_recovery: bool = row.try_get(from + 3)?;
    Ok(if fsync != "on" {
        Some("fsync is off")
    } else if full_page_writes != "on" {
        Some("full_page_writes is off")
    } else if !matches!(synchronous_commit.as_str(), "on" | "remote_apply") {
        // The values in between guarantee less than a failover needs: a local write, or a remote write without a flush.
        Some("synchronous_commit is neither on nor remote_apply")
    } else if in_recovery {
        Some("the server is a standby")
    } else {
        None
    })
}
