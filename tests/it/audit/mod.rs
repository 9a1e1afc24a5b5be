//! The stored audit log: reading, verification and retention. One contract for every database.

mod durable;
mod keys;
mod outage;
mod reading;
mod retention;
mod size;
mod tampering;
mod usage;

use crate::rig::postgres::{parse_postgres_url, postgres};
use claviger::audit::{
    AuditLog, ChainHasher, Event, Filter, RecordedEvent, Retention, RetentionLimits, VerificationResult,
};
use claviger::config::database::Url;
use claviger::database::Database;
use claviger::metrics::Metrics;
use claviger::metrics::labels::{EventType, Outcome};
use claviger::model::branch::Branch;
use claviger::model::caller::Caller;
use claviger::model::clock::Clock;
use claviger::model::repo::Repo;
use claviger::model::ticket::TicketToken;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Runs each of these tests for every database.
macro_rules! on_every_database {
    ($($test:ident)*) => {
        mod sqlite_memory { $( #[tokio::test] async fn $test() { super::$test(super::TestDatabase::sqlite_memory().await).await } )* }
        mod sqlite_file { $( #[tokio::test] async fn $test() { super::$test(super::TestDatabase::sqlite_file().await).await } )* }
        mod postgres { $( #[tokio::test] async fn $test() { super::$test(super::TestDatabase::postgres().await).await } )* }
    };
}
use on_every_database;

/// A clock that a test advances.
#[derive(Debug)]
struct SettableClock(Mutex<Timestamp>);

impl SettableClock {
    fn advance(&self, by: SignedDuration) {
        let mut now = self.0.lock().unwrap();
        *now = now.checked_add(by).unwrap();
    }
}

impl Clock for SettableClock {
    fn now(&self) -> Timestamp {
        let mut now = self.0.lock().unwrap();
        *now = now.checked_add(SignedDuration::from_millis(1)).unwrap();
        *now
    }
}

/// A database for the audit log, and its clock.
struct TestDatabase {
    database: Database,
    clock: Arc<SettableClock>,
    _folder: Option<TempDir>,
}

/// A replica with its audit log.
struct Replica {
    log: AuditLog,
    written: JoinHandle<()>,
}

impl TestDatabase {
    async fn at(url: Url, folder: Option<TempDir>) -> Self {
        let database = Database::open(&url).await.unwrap();
        let clock = Arc::new(SettableClock(Mutex::new("2026-01-01T00:00:00Z".parse().unwrap())));
        Self { database, clock, _folder: folder }
    }

    async fn sqlite_memory() -> Self {
        Self::at(Url::SqliteMemory, None).await
    }

    async fn sqlite_file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::at(Url::SqliteFile(folder.path().join("claviger.db")), Some(folder)).await
    }

    async fn postgres() -> Self {
        Self::at(Url::Postgres(parse_postgres_url(&postgres().database().await)), None).await
    }

    async fn replica(&self) -> Replica {
        self.replica_with(ChainHasher::new(None, &[])).await
    }

    async fn replica_with(&self, hasher: ChainHasher) -> Replica {
        let metrics = Arc::new(Metrics::new(&[], &[]).unwrap());
        let opened = AuditLog::open(&self.database, false, hasher, self.clock.clone(), metrics).await;
        let (log, written) = opened.unwrap();
        Replica { log, written }
    }
}

impl Replica {
    /// Records these events, each durable before the next.
    async fn record_each(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.log.record(event(number)).await.unwrap();
        }
    }

    /// Records these events, several at the same time.
    async fn record_concurrently(&self, numbers: std::ops::Range<usize>) {
        let numbers: Vec<usize> = numbers.collect();
        for some in numbers.chunks(250) {
            let events = some.iter().map(|number| self.log.record(event(*number)));
            futures_util::future::try_join_all(events).await.unwrap();
        }
    }

    async fn all(&self) -> Vec<Value> {
        let found = self.log.reader().events(&Filter::default(), None, usize::MAX >> 1).await.unwrap();
        found.events.iter().map(event_json).collect()
    }

    async fn verify(&self) -> VerificationResult {
        self.log.reader().verify().await.unwrap()
    }

    async fn assert_verifies(&self, events: u64, chains: u64) {
        assert_eq!(self.verify().await, VerificationResult { events, chains, first_broken: None });
    }

    /// Deletes all events that are older than `keep`. Returns their number.
    async fn delete_older_than(&self, db: &TestDatabase, keep: Duration) -> usize {
        let retention = self.retention(db, keep, None);
        let mut deleted = 0;
        loop {
            let batch = retention.delete_old_batch().await.unwrap();
            deleted += batch.deleted;
            if !batch.has_more {
                return deleted;
            }
        }
    }

    fn retention(&self, db: &TestDatabase, keep: Duration, max_size: Option<u64>) -> Retention {
        let metrics = Arc::new(Metrics::new(&[], &[]).unwrap());
        Retention::new(&self.log, RetentionLimits { max_age: keep, max_size }, db.clock.clone(), metrics)
    }

    async fn shut_down(self) {
        drop(self.log);
        self.written.await.unwrap();
    }
}

/// The number of the first event that does not verify, and the reason.
async fn first_fault(replica: &Replica) -> Option<(i64, &'static str)> {
    replica.verify().await.first_broken.map(|broken| (broken.seq, broken.reason.as_str()))
}

/// An event that differs from those before and after it.
fn event(number: usize) -> Event {
    let mut event = Event::new(EventType::ALL[number % 7], Outcome::ALL[number % 3]);
    if !number.is_multiple_of(4) {
        event.caller = Some(Arc::new(Caller {
            issuer: "ci".into(),
            subject: format!("build-\u{202e}{}\0", number % 5),
            groups: Vec::new(),
            workload: None,
            unbound_account: None,
            claims: Map::new(),
        }));
        event.repo = Some(Repo::try_from(format!("apps/site-{}", number % 6).as_str()).unwrap());
        event.branch = Some(Branch::try_from(["main", "f/x", "main$(id)"][number % 3]).unwrap());
        event.ticket_id = Some(TicketToken::random().unwrap().ticket_id());
    }
    event
}

fn event_json(recorded: &RecordedEvent) -> Value {
    serde_json::from_str(&recorded.json).unwrap()
}

/// The chain of an event, and its number there.
fn seq(event: &Value) -> (String, i64) {
    (event["chain"].as_str().unwrap().to_owned(), event["seq"].as_i64().unwrap())
}
