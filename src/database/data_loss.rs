//! Whether a failover of a PostgreSQL server may lose acknowledged commits.

use super::durability::is_synchronous;
use super::failed::Failed;
use super::handle::Database;
use super::pool::Pool;

/// Why a failover may lose commits that were acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataLoss {
    /// `synchronous_commit` is neither `on` nor `remote_apply`. With `off`, a crash without a failover loses commits too.
    SynchronousCommit,
    /// A standby is connected, and `synchronous_standby_names` is empty: commits do not wait for any standby.
    AsynchronousStandby,
    /// The same, but this role may not see whether the connected receivers of WAL are standbys.
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

/// Subscribers of logical replication and base backups cannot be promoted. Both have a slot that every role can see. A standby may
/// have a temporary slot too (`wal_receiver_create_temp_slot`), which its receiver names.
const REPLICATION: &str = "SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names'), \
         CAST(CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') THEN 1 ELSE 0 END AS BIGINT), \
         count(replay_lsn), count(*) \
     FROM pg_stat_replication WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots AS slot \
         WHERE slot.active_pid = pg_stat_replication.pid AND (slot.slot_type = 'logical' \
             OR slot.temporary AND NOT starts_with(CAST(slot.slot_name AS TEXT), 'pg_walreceiver_')))";

impl Database {
    /// Whether a failover may lose acknowledged commits now; `None` also for SQLite.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn data_loss(&self) -> Result<Option<DataLoss>, Failed> {
        if !matches!(self.pool, Pool::Postgres(_)) {
            return Ok(None);
        }
        let rows = self.look_up(REPLICATION, &[]).await?;
        let row = rows.first().ok_or_else(Failed::no_row)?;
        Ok(judge(&Replication {
            synchronous_commit: row.str(0)?,
            synchronous_standby_names: row.str(1)?,
            is_visible: row.number(2)? == 1,
            standbys: row.number(3)?,
            receivers: row.number(4)?,
        }))
    }
}

fn judge(replication: &Replication<'_>) -> Option<DataLoss> {
    if !is_synchronous(replication.synchronous_commit) {
        Some(DataLoss::SynchronousCommit)
    } else if !replication.synchronous_standby_names.trim().is_empty() {
        // Each commit waits for a synchronous standby, even while no standby is connected.
        None
    } else if replication.is_visible {
        (replication.standbys > 0).then_some(DataLoss::AsynchronousStandby)
    } else {
        (replication.receivers > 0).then_some(DataLoss::UnknownReceiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Replication<'static> = Replication {
        synchronous_commit: "on",
        synchronous_standby_names: "",
        is_visible: true,
        standbys: 0,
        receivers: 0,
    };

    #[test]
    fn a_server_that_loses_nothing_is_accepted() {
        for good in [
            ALONE,
            Replication { is_visible: false, ..ALONE },
            // pg_receivewal, or a base backup.
            Replication { receivers: 2, ..ALONE },
            Replication { synchronous_standby_names: "ANY 1 (a, b)", standbys: 2, receivers: 2, ..ALONE },
            Replication { synchronous_standby_names: "*", is_visible: false, receivers: 1, ..ALONE },
            // The standby is not connected, so that commits wait.
            Replication { synchronous_standby_names: "a", synchronous_commit: "remote_apply", ..ALONE },
        ] {
            assert_eq!(judge(&good), None, "{}", good.synchronous_standby_names);
        }
    }

    #[test]
    fn every_way_to_lose_commits_has_its_cause() {
        for weak in ["off", "local", "remote_write"] {
            let replication = Replication { synchronous_commit: weak, synchronous_standby_names: "*", ..ALONE };
            assert_eq!(judge(&replication), Some(DataLoss::SynchronousCommit), "{weak}");
        }
        let asynchronous = Replication { standbys: 1, receivers: 1, ..ALONE };
        assert_eq!(judge(&asynchronous), Some(DataLoss::AsynchronousStandby));
        let blank = Replication { synchronous_standby_names: " ", ..asynchronous };
        assert_eq!(judge(&blank), Some(DataLoss::AsynchronousStandby));
        let unknown = Replication { is_visible: false, receivers: 1, ..ALONE };
        assert_eq!(judge(&unknown), Some(DataLoss::UnknownReceiver));
    }
}
