//! Whether a PostgreSQL server's settings allow a crash or a failover to lose commits.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// Returns why a server is refused because its settings may lose commits, or because it is a standby, which takes no commits.
/// `None` if it is accepted. Beginning with `first_column`, the row has `fsync`, `full_page_writes`, `synchronous_commit`, and
/// whether the server is a standby. `allows_data_loss` (`database.allowDataLoss`) accepts any `synchronous_commit`, but nothing
/// else. The standbys that are connected to the server are not considered here, because they can change while a connection
/// stays open.
pub fn data_loss_reason(
    row: &PgRow,
    first_column: usize,
    allows_data_loss: bool,
) -> Result<Option<&'static str>, sqlx::Error> {
    let setting = |column: usize| row.try_get::<String, _>(first_column + column);
    let (fsync, full_page_writes, synchronous_commit) = (setting(0)?, setting(1)?, setting(2)?);
    let in_recovery: bool = row.try_get(first_column + 3)?;
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

/// Whether a commit waits until its WAL is on the disk of this server and of the synchronous standbys.
pub fn is_synchronous(synchronous_commit: &str) -> bool {
    // `off` waits for no disk, `local` for no standby, and `remote_write` not for a standby's disk.
    matches!(synchronous_commit, "on" | "remote_apply")
}
