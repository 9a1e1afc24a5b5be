//! The records of leases in the database, and which process looks after which.
//!
//! Every process counts on (a beat) while it has leases. Whoever stops counting is dead to the others, by their own
//! clocks, and one of them takes its leases over; it finds out that it was given up when its beat is gone.

use super::record::Record;
use crate::database::{Database, Failed, Param, Row};
use crate::model::request_id::RequestId;
use std::sync::{Mutex, PoisonError};

/// The tables, and who this process is in them.
pub(super) struct Ledger {
    database: Database,
    me: Mutex<Me>,
}

#[derive(Clone)]
struct Me {
    name: String,
    is_known: bool,
}

/// Another process that has leases, and its beat; none where it has said goodbye.
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) beat: Option<i64>,
}

/// Where a page of a list begins: behind this time and id.
pub(super) type After = (String, String);

impl Ledger {
    pub(super) fn new(database: Database) -> Self {
        Self { database, me: Mutex::new(Me::new()) }
    }

    /// Puts a lease on record.
    pub(super) async fn insert(&self, record: &Record) -> Result<(), Failed> {
        const INTO: &str = "leases (owner, id, store, path, mode, state, acquired_at, expires_at, sealed)";
        let me = self.known().await?;
        let row: [Param; 9] = [
            (&me).into(),
            (&record.id).into(),
            (&record.store).into(),
            (&record.path).into(),
            (&record.mode).into(),
            (&record.state).into(),
            (&record.acquired_at).into(),
            (&record.expires_at).into(),
            (&record.sealed).into(),
        ];
        self.database.insert(INTO, row.len(), &row).await
    }

    /// A lease was prolonged.
    pub(super) async fn prolong(&self, id: &str, expires_at: &str) -> Result<(), Failed> {
        const SQL: &str = "UPDATE leases SET expires_at = $1 WHERE id = $2";
        self.database.run(SQL, &[expires_at.into(), id.into()]).await.map(|_| ())
    }

    /// A lease is in another state.
    pub(super) async fn set_state(&self, id: &str, state: &str) -> Result<(), Failed> {
        const SQL: &str = "UPDATE leases SET state = $1 WHERE id = $2";
        self.database.run(SQL, &[state.into(), id.into()]).await.map(|_| ())
    }

    /// Takes a lease off the record.
    pub(super) async fn remove(&self, id: &str) -> Result<(), Failed> {
        self.database.run("DELETE FROM leases WHERE id = $1", &[id.into()]).await.map(|_| ())
    }

    /// Counts on. Whether the others still know us; if not, they have taken our leases over.
    pub(super) async fn beat(&self) -> Result<bool, Failed> {
        const SQL: &str = "UPDATE lease_owners SET beat = beat + 1 WHERE owner = $1 RETURNING beat";
        let me = self.me();
        if !me.is_known {
            return Ok(true);
        }
        Ok(!self.database.run(SQL, &[(&me.name).into()]).await?.is_empty())
    }

    /// From now on this is another process to the others.
    pub(super) fn start_anew(&self) {
        *self.me.lock().unwrap_or_else(PoisonError::into_inner) = Me::new();
    }

    /// Says goodbye, so that another process need not wait to find out.
    pub(super) async fn leave(&self) -> Result<(), Failed> {
        let me = self.me();
        if me.is_known {
            self.database.run("DELETE FROM lease_owners WHERE owner = $1", &[(&me.name).into()]).await?;
        }
        Ok(())
    }

    /// The other processes that have leases.
    pub(super) async fn others(&self) -> Result<Vec<Owner>, Failed> {
        const SQL: &str = "SELECT l.owner, CAST(o.beat AS TEXT) FROM leases l \
            LEFT JOIN lease_owners o ON o.owner = l.owner WHERE l.owner <> $1 GROUP BY l.owner, o.beat";
        let rows = self.database.run(SQL, &[(&self.me().name).into()]).await?;
        rows.iter()
            .map(|row| Ok(Owner { name: row.text(0)?, beat: row.text_if_any(1)?.and_then(|beat| beat.parse().ok()) }))
            .collect()
    }

    /// Takes over the leases of a process; of several who try, each lease goes to one.
    pub(super) async fn adopt(&self, owner: &str) -> Result<Vec<Record>, Failed> {
        const SQL: &str = "UPDATE leases SET owner = $1 WHERE owner = $2 \
            RETURNING id, store, path, mode, state, acquired_at, expires_at, sealed";
        let me = self.known().await?;
        let mut work = self.database.begin().await?;
        let rows = work.run(SQL, &[(&me).into(), owner.into()]).await?;
        work.run("DELETE FROM lease_owners WHERE owner = $1", &[owner.into()]).await?;
        work.commit().await?;
        rows.iter().map(record).collect()
    }

    /// The ids of some of our leases, in their order, behind this one.
    pub(super) async fn own(&self, after: &str, most: u32) -> Result<Vec<String>, Failed> {
        const SQL: &str = "SELECT id FROM leases WHERE owner = $1 AND id > $2 ORDER BY id LIMIT $3";
        let me = self.me();
        if !me.is_known {
            return Ok(Vec::new());
        }
        let rows = self.database.run(SQL, &[(&me.name).into(), after.into(), i64::from(most).into()]).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// One of our leases.
    pub(super) async fn get_own(&self, id: &str) -> Result<Option<Record>, Failed> {
        const SQL: &str = "SELECT id, store, path, mode, state, acquired_at, expires_at, sealed FROM leases \
            WHERE id = $1 AND owner = $2";
        self.database.run(SQL, &[id.into(), (&self.me().name).into()]).await?.first().map(record).transpose()
    }

    /// Those of our leases that somebody asked another process to take back.
    pub(super) async fn asked_back(&self) -> Result<Vec<String>, Failed> {
        const SQL: &str = "SELECT id FROM leases WHERE owner = $1 AND state = 'revoking'";
        let me = self.me();
        if !me.is_known {
            return Ok(Vec::new());
        }
        self.database.run(SQL, &[(&me.name).into()]).await?.iter().map(|row| row.text(0)).collect()
    }

    /// One lease, whoever looks after it.
    pub(super) async fn get(&self, id: &str) -> Result<Option<Record>, Failed> {
        const SQL: &str =
            "SELECT id, store, path, mode, state, acquired_at, expires_at, sealed FROM leases WHERE id = $1";
        self.database.run(SQL, &[id.into()]).await?.first().map(record).transpose()
    }

    /// The ids of the leases of a store, at one path or at all.
    pub(super) async fn find(&self, store: &str, path: Option<&str>) -> Result<Vec<String>, Failed> {
        const SQL: &str = "SELECT id FROM leases WHERE store = $1 AND (path = $2 OR $3 = 0)";
        let params = [store.into(), path.unwrap_or_default().into(), i64::from(path.is_some()).into()];
        self.database.run(SQL, &params).await?.iter().map(|row| row.text(0)).collect()
    }

    /// A page of all leases, newest first.
    pub(super) async fn page(&self, after: Option<&After>, limit: usize) -> Result<Vec<Record>, Failed> {
        const SQL: &str = "SELECT id, store, path, mode, state, acquired_at, expires_at, sealed FROM leases \
            WHERE $1 = 0 OR acquired_at < $2 OR (acquired_at = $2 AND id < $3) \
            ORDER BY acquired_at DESC, id DESC LIMIT $4";
        let (time, id) = after.map_or(("", ""), |(time, id)| (time, id));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let params = [i64::from(after.is_some()).into(), time.into(), id.into(), limit.into()];
        self.database.run(SQL, &params).await?.iter().map(record).collect()
    }

    /// Our name, which the others know.
    async fn known(&self) -> Result<String, Failed> {
        const SQL: &str = "INSERT INTO lease_owners (owner, beat) VALUES ($1, $2) ON CONFLICT (owner) DO NOTHING";
        let me = self.me();
        if !me.is_known {
            let row: [Param; 2] = [(&me.name).into(), 1.into()];
            self.database.run(SQL, &row).await?;
            let mut now = self.me.lock().unwrap_or_else(PoisonError::into_inner);
            if now.name == me.name {
                now.is_known = true;
            }
        }
        Ok(me.name)
    }

    fn me(&self) -> Me {
        self.me.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Me {
    fn new() -> Self {
        Self { name: RequestId::random().to_string(), is_known: false }
    }
}

fn record(row: &Row) -> Result<Record, Failed> {
    Ok(Record {
        id: row.text(0)?,
        store: row.text(1)?,
        path: row.text(2)?,
        mode: row.text(3)?,
        state: row.text(4)?,
        acquired_at: row.text(5)?,
        expires_at: row.text(6)?,
        sealed: row.text(7)?,
    })
}
