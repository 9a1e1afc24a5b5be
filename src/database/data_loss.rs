//! Whether a failover of a PostgreSQL server may lose acknowledged commits.

use super::durability::is_synchronous;
use super::errors::DatabaseError;
use super::handle::Database;
use super::pool::Pool;

/// Why a failover may lose commits that were acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataLossCause {
    /// `synchronous_commit` is neither `on` nor `remote_apply`. With `off`, a crash without a failover loses commits too.
    SynchronousCommit,
    /// A standby is connected, and `synchronous_standby_names` is empty: commits do not wait for any standby.
    AsynchronousStandby,
    /// The same, but it is unknown whether the connected receivers of WAL are standbys: this role lacks the permission to see
    /// it.
    UnknownReceiver,
}

/// The settings and the receivers of WAL, as the server reports them.
struct Replication<'a> {
    synchronous_commit: &'a str,
    synchronous_standby_names: &'a str,
    /// Whether this role may read all columns of `pg_stat_replication`.
    is_visible: bool,
    /// Receivers that apply WAL, as standbys do; `pg_receivewal` and base backups do not.
    standbys: i64,
    receivers: i64,
}

/// Subscribers of logical replication and base backups cannot be promoted. Both have a slot that every role can see. A standby
/// may have a temporary slot too (`wal_receiver_create_temp_slot`), which its receiver names.
const REPLICATION: &str = "SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names'), \
         CAST(CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') THEN 1 ELSE 0 END AS BIGINT), \
         count(replay_lsn), count(*) \
     FROM pg_stat_replication WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots AS slot \
         WHERE slot.active_pid = pg_stat_replication.pid AND (slot.slot_type = 'logical' \
             OR slot.temporary AND NOT starts_with(CAST(slot.slot_name AS TEXT), 'pg_walreceiver_')))";

impl Database {
    /// Why a failover may lose acknowledged commits now. `None` if it cannot, and for SQLite.
    ///
    /// # Errors
    /// The server cannot be queried.
    pub async fn data_loss_cause(&self) -> Result<Option<DataLossCause>, DatabaseError> {
        if !matches!(self.pool, Pool::Postgres(_)) {
            return Ok(None);
        }
        let rows = self.look_up(REPLICATION, &[]).await?;
        let row = rows.first().ok_or_else(DatabaseError::missing_row)?;
        Ok(find_cause(&Replication {
            synchronous_commit: row.str(0)?,
            synchronous_standby_names: row.str(1)?,
            is_visible: row.number(2)? == 1,
            standbys: row.number(3)?,
            receivers: row.number(4)?,
        }))
    }
}

fn find_cause(replication: &Replication<'_>) -> Option<DataLossCause> {
    if !is_synchronous(replication.synchronous_commit) {
        Some(DataLossCause::SynchronousCommit)
    } else if !replication.synchronous_standby_names.trim().is_empty() {
        // Each commit waits for a synchronous standby, even while no standby is connected.
        None
    } else if replication.is_visible {
        (replication.standbys > 0).then_some(DataLossCause::AsynchronousStandby)
    } else {
        (replication.receivers > 0).then_some(DataLossCause::UnknownReceiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHOUT_STANDBYS: Replication<'static> = Replication {
        synchronous_commit: "on",
        synchronous_standby_names: "",
        is_visible: true,
        standbys: 0,
        receivers: 0,
    };

    #[test]
    fn without_asynchronous_standbys_there_is_no_cause() {
        for good in [
            WITHOUT_STANDBYS,
            Replication { is_visible: false, ..WITHOUT_STANDBYS },
            // pg_receivewal, or a base backup.
            Replication { receivers: 2, ..WITHOUT_STANDBYS },
            Replication { synchronous_standby_names: "ANY 1 (a, b)", standbys: 2, receivers: 2, ..WITHOUT_STANDBYS },
            Replication { synchronous_standby_names: "*", is_visible: false, receivers: 1, ..WITHOUT_STANDBYS },
            // The standby is not connected, so commits wait for it.
            Replication { synchronous_standby_names: "a", synchronous_commit: "remote_apply", ..WITHOUT_STANDBYS },
        ] {
            assert_eq!(find_cause(&good), None, "{}", good.synchronous_standby_names);
        }
    }

    #[test]
    fn asynchronous_commits_and_standbys_are_causes() {
        for weak in ["off", "local", "remote_write"] {
            let replication =
                Replication { synchronous_commit: weak, synchronous_standby_names: "*", ..WITHOUT_STANDBYS };
            assert_eq!(find_cause(&replication), Some(DataLossCause::SynchronousCommit), "{weak}");
        }
        let asynchronous = Replication { standbys: 1, receivers: 1, ..WITHOUT_STANDBYS };
        assert_eq!(find_cause(&asynchronous), Some(DataLossCause::AsynchronousStandby));
        let blank = Replication { synchronous_standby_names: " ", ..asynchronous };
        assert_eq!(find_cause(&blank), Some(DataLossCause::AsynchronousStandby));
        let unknown = Replication { is_visible: false, receivers: 1, ..WITHOUT_STANDBYS };
        assert_eq!(find_cause(&unknown), Some(DataLossCause::UnknownReceiver));
    }
}
