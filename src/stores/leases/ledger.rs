//! The tables `leases` and `lease_owners`: the records of leases, and the processes that maintain them.
//!
//! Every process increments a counter, its heartbeat. If a heartbeat stops, by the clocks of the other processes, one of them
//! adopts the leases of that process and deletes its row. A process whose row is missing has lost its leases.

use super::record::LeaseRecord;
use crate::database::{Database, DatabaseError, Param, Row};
use crate::model::request_id::RequestId;
use std::sync::{Mutex, PoisonError};

/// Access to the tables, under the name of this process.
pub(super) struct Ledger {
    database: Database,
    identity: Mutex<ProcessIdentity>,
}

#[derive(Clone)]
struct ProcessIdentity {
    name: String,
    is_registered: bool,
}

/// Another process with leases.
pub(super) struct LeaseProcess {
    pub(super) name: String,
    /// `None` if the process signed off.
    pub(super) heartbeat: Option<i64>,
}

/// A position in lists: a time of acquisition, and an ID. A page has what follows this position.
pub type PageStart = (String, String);

impl Ledger {
    pub(super) fn new(database: Database) -> Self {
        Self { database, identity: Mutex::new(ProcessIdentity::new()) }
    }

    pub(super) async fn insert(&self, record: &LeaseRecord) -> Result<(), DatabaseError> {
        const TABLE_AND_COLUMNS: &str = "leases (owner, id, store, path, mode, state, acquired_at, expires_at, sealed)";
        let own_name = self.register_process().await?;
        let row: [Param; 9] = [
            (&own_name).into(),
            (&record.id).into(),
            (&record.store).into(),
            (&record.path).into(),
            (&record.mode).into(),
            (&record.state).into(),
            (&record.acquired_at).into(),
            (&record.expires_at).into(),
            (&record.sealed).into(),
        ];
        self.database.insert(TABLE_AND_COLUMNS, row.len(), &row).await
    }

    /// Records the new end of a renewed lease.
    pub(super) async fn set_expiry(&self, id: &str, expires_at: &str) -> Result<(), DatabaseError> {
        const SQL: &str = "UPDATE leases SET expires_at = $1 WHERE id = $2";
        self.database.run(SQL, &[expires_at.into(), id.into()]).await.map(|_| ())
    }

    /// Records the new state of a lease.
    pub(super) async fn set_state(&self, id: &str, state: &str) -> Result<(), DatabaseError> {
        const SQL: &str = "UPDATE leases SET state = $1 WHERE id = $2";
        self.database.run(SQL, &[state.into(), id.into()]).await.map(|_| ())
    }

    /// Records that a lease is being revoked, and the sealed request of an administrator, if there is one.
    pub(super) async fn set_revoking(&self, id: &str, revoked_by: Option<&str>) -> Result<(), DatabaseError> {
        const SQL: &str = "UPDATE leases SET state = 'revoking', revoked_by = COALESCE($1, revoked_by) WHERE id = $2";
        self.database.run(SQL, &[revoked_by.into(), id.into()]).await.map(|_| ())
    }

    /// Removes the record of a lease.
    pub(super) async fn remove(&self, id: &str) -> Result<(), DatabaseError> {
        self.database.run("DELETE FROM leases WHERE id = $1", &[id.into()]).await.map(|_| ())
    }

    /// Increments the heartbeat. Returns false if another process has adopted the leases of this one.
    pub(super) async fn increment_heartbeat(&self) -> Result<bool, DatabaseError> {
        const SQL: &str = "UPDATE lease_owners SET beat = beat + 1 WHERE owner = $1 RETURNING beat";
        let identity = self.identity();
        if !identity.is_registered {
            return Ok(true);
        }
        Ok(!self.database.run(SQL, &[(&identity.name).into()]).await?.is_empty())
    }

    /// Takes a new name, after the leases were lost.
    pub(super) fn take_new_identity(&self) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = ProcessIdentity::new();
    }

    /// Signs off, so that other processes need not wait for the heartbeat to stop.
    pub(super) async fn sign_off(&self) -> Result<(), DatabaseError> {
        let identity = self.identity();
        if identity.is_registered {
            self.database.run("DELETE FROM lease_owners WHERE owner = $1", &[(&identity.name).into()]).await?;
        }
        Ok(())
    }

    pub(super) async fn other_processes(&self) -> Result<Vec<LeaseProcess>, DatabaseError> {
        const SQL: &str = "SELECT l.owner, CAST(o.beat AS TEXT) FROM leases l \
            LEFT JOIN lease_owners o ON o.owner = l.owner WHERE l.owner <> $1 GROUP BY l.owner, o.beat";
        let rows = self.database.run(SQL, &[(&self.identity().name).into()]).await?;
        rows.iter()
            .map(|row| {
                let heartbeat = row.optional_text(1)?.and_then(|heartbeat| heartbeat.parse().ok());
                Ok(LeaseProcess { name: row.text(0)?, heartbeat })
            })
            .collect()
    }

    /// Adopts the leases of a process, and returns their records. If several processes try, each lease is adopted by one of
    /// them.
    pub(super) async fn adopt(&self, owner: &str) -> Result<Vec<LeaseRecord>, DatabaseError> {
        const SQL: &str = "UPDATE leases SET owner = $1 WHERE owner = $2 \
            RETURNING id, store, path, mode, state, acquired_at, expires_at, sealed, revoked_by";
        let own_name = self.register_process().await?;
        let mut work = self.database.begin().await?;
        let rows = work.run(SQL, &[(&own_name).into(), owner.into()]).await?;
        work.run("DELETE FROM lease_owners WHERE owner = $1", &[owner.into()]).await?;
        work.commit().await?;
        rows.iter().map(parse_record).collect()
    }

    /// The IDs of leases of this process after `after`, in order.
    pub(super) async fn own_ids(&self, after: &str, limit: u32) -> Result<Vec<String>, DatabaseError> {
        const SQL: &str = "SELECT id FROM leases WHERE owner = $1 AND id > $2 ORDER BY id LIMIT $3";
        let identity = self.identity();
        if !identity.is_registered {
            return Ok(Vec::new());
        }
        let rows = self.database.run(SQL, &[(&identity.name).into(), after.into(), i64::from(limit).into()]).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// The record of a lease of this process.
    pub(super) async fn get_own(&self, id: &str) -> Result<Option<LeaseRecord>, DatabaseError> {
        const SQL: &str = "SELECT id, store, path, mode, state, acquired_at, expires_at, sealed, revoked_by FROM leases \
            WHERE id = $1 AND owner = $2";
        self.database
            .run(SQL, &[id.into(), (&self.identity().name).into()])
            .await?
            .first()
            .map(parse_record)
            .transpose()
    }

    /// The IDs of leases of this process that administrators asked other processes to revoke, with the sealed requests.
    pub(super) async fn requested_revocations(&self) -> Result<Vec<(String, Option<String>)>, DatabaseError> {
        const SQL: &str = "SELECT id, revoked_by FROM leases WHERE owner = $1 AND state = 'revoking'";
        let identity = self.identity();
        if !identity.is_registered {
            return Ok(Vec::new());
        }
        let rows = self.database.run(SQL, &[(&identity.name).into()]).await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.optional_text(1)?))).collect()
    }

    /// The record of a lease of any process.
    pub(super) async fn get(&self, id: &str) -> Result<Option<LeaseRecord>, DatabaseError> {
        const SQL: &str = "SELECT id, store, path, mode, state, acquired_at, expires_at, sealed, revoked_by FROM leases WHERE id = $1";
        self.database.run(SQL, &[id.into()]).await?.first().map(parse_record).transpose()
    }

    /// The IDs of the leases of a store, at one path or at all paths.
    pub(super) async fn ids_of_store(&self, store: &str, path: Option<&str>) -> Result<Vec<String>, DatabaseError> {
        const SQL: &str = "SELECT id FROM leases WHERE store = $1 AND (path = $2 OR $3 = 0)";
        let params = [store.into(), path.unwrap_or_default().into(), i64::from(path.is_some()).into()];
        self.database.run(SQL, &params).await?.iter().map(|row| row.text(0)).collect()
    }

    /// A page of the leases of all processes, newest first.
    pub(super) async fn page(
        &self,
        after: Option<&PageStart>,
        limit: usize,
    ) -> Result<Vec<LeaseRecord>, DatabaseError> {
        const SQL: &str = "SELECT id, store, path, mode, state, acquired_at, expires_at, sealed, revoked_by FROM leases \
            WHERE $1 = 0 OR acquired_at < $2 OR (acquired_at = $2 AND id < $3) \
            ORDER BY acquired_at DESC, id DESC LIMIT $4";
        let (time, id) = after.map_or(("", ""), |(time, id)| (time, id));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let params = [i64::from(after.is_some()).into(), time.into(), id.into(), limit.into()];
        self.database.run(SQL, &params).await?.iter().map(parse_record).collect()
    }

    /// Inserts the row of this process if it is missing. Returns the name of this process.
    async fn register_process(&self) -> Result<String, DatabaseError> {
        const SQL: &str = "INSERT INTO lease_owners (owner, beat) VALUES ($1, $2) ON CONFLICT (owner) DO NOTHING";
        let identity = self.identity();
        if !identity.is_registered {
            let row: [Param; 2] = [(&identity.name).into(), 1.into()];
            self.database.run(SQL, &row).await?;
            let mut current = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
            if current.name == identity.name {
                current.is_registered = true;
            }
        }
        Ok(identity.name)
    }

    fn identity(&self) -> ProcessIdentity {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ProcessIdentity {
    fn new() -> Self {
        Self { name: RequestId::random().to_string(), is_registered: false }
    }
}

fn parse_record(row: &Row) -> Result<LeaseRecord, DatabaseError> {
    Ok(LeaseRecord {
        id: row.text(0)?,
        store: row.text(1)?,
        path: row.text(2)?,
        mode: row.text(3)?,
        state: row.text(4)?,
        acquired_at: row.text(5)?,
        expires_at: row.text(6)?,
        sealed: row.text(7)?,
        revoked_by: row.optional_text(8)?,
    })
}
