//! A log above its maximum size loses its oldest events and records that.

use super::{Replica, TestDatabase, on_every_database, seq};
use claviger::audit::{Retention, RetentionLimits};
use claviger::metrics::Metrics;
use jiff::SignedDuration;
use std::sync::Arc;
use std::time::Duration;

const FOR_EVER: Duration = Duration::from_hours(24 * 3650);
const MIB: u64 = 1 << 20;
/// Rows of one time are measured in parts of at most this size.
const PART: u64 = 16 * 1024;
/// A segment of the smallest size, and the part that fills it.
const SEGMENT: u64 = 64 * 1024 + PART;

on_every_database! {
    beyond_max_size_the_oldest_events_are_deleted_and_the_rest_verifies
    unsettled_events_are_not_deleted
    events_from_before_a_clock_was_set_back_are_deleted
    a_deletion_that_is_stopped_is_recorded
    several_replicas_can_measure_the_log
    a_broken_log_is_not_pruned
    the_measured_size_is_not_below_the_used_size
    the_size_is_exact_while_events_are_written_and_deleted
}

impl TestDatabase {
    /// The size of all events in bytes.
    async fn size(&self) -> u64 {
        const SIZE: &str = "SELECT CAST(coalesce(sum(1200 + octet_length(event) + 3 * (octet_length(coalesce(subject, '')) \
             + octet_length(coalesce(repo, '')) + octet_length(coalesce(branch, '')))), 0) AS BIGINT) FROM audit_events";
        u64::try_from(self.database.run(SIZE, &[]).await.unwrap()[0].number(0).unwrap()).unwrap()
    }
}

impl Replica {
    /// Checks that it deleted what was necessary, and at most one segment more.
    async fn assert_just_below_limit(&self, db: &TestDatabase, max_size: u64, segment: u64) {
        let size = db.size().await;
        // The event about the deletion may be counted, and so may pending writes.
        assert!((max_size - segment..max_size + 8 * 1024).contains(&size), "{size} of {max_size}");
    }

    async fn prune_to_size(&self, db: &TestDatabase, max_size: u64) -> usize {
        self.retention(db, FOR_EVER, Some(max_size)).enforce_max_size().await.unwrap()
    }
}

async fn beyond_max_size_the_oldest_events_are_deleted_and_the_rest_verifies(db: TestDatabase) {
    let replica = db.replica().await;
    replica.record_concurrently(0..3000).await;
    db.clock.advance(SignedDuration::from_secs(11));
    assert_eq!(replica.prune_to_size(&db, 16 * MIB).await, 0, "it is small enough");
    let deleted = replica.prune_to_size(&db, MIB).await;
    // The oldest segments were created under a larger limit.
    let large = 16 * MIB / 64 + PART;
    replica.assert_just_below_limit(&db, MIB, large).await;
    replica.record_each(3000..3001).await;
    let all = replica.all().await;
    let told = all.iter().find(|event| event["type"] == "audit.pruned").unwrap();
    assert_eq!(
        (&told["reason"], &told["outcome"], &told["count"]),
        (&"max_size".into(), &"ok".into(), &deleted.into())
    );
    replica.assert_verifies(3002 - deleted as u64, 1).await;
    assert_eq!(all.iter().map(|event| seq(event).1).min(), Some(i64::try_from(deleted).unwrap() + 1));
    assert_eq!(replica.prune_to_size(&db, MIB).await, 0, "it is small enough now");
    // It continues while the log grows, and after a restart.
    replica.shut_down().await;
    let next = db.replica().await;
    next.record_concurrently(0..1000).await;
    db.clock.advance(SignedDuration::from_secs(11));
    let more = next.prune_to_size(&db, MIB).await;
    assert!(more > 0);
    next.assert_just_below_limit(&db, MIB, large).await;
    assert_eq!(next.verify().await.first_broken, None);
}

async fn unsettled_events_are_not_deleted(db: TestDatabase) {
    let replica = db.replica().await;
    replica.record_concurrently(0..2000).await;
    assert_eq!(replica.prune_to_size(&db, MIB).await, 0);
    replica.assert_verifies(2000, 1).await;
}

async fn events_from_before_a_clock_was_set_back_are_deleted(db: TestDatabase) {
    let ten_years = SignedDuration::from_hours(24 * 3650);
    let replica = db.replica().await;
    replica.record_concurrently(0..100).await;
    db.clock.advance(ten_years);
    replica.record_concurrently(100..200).await;
    db.clock.advance(-ten_years);
    assert_eq!(replica.prune_to_size(&db, MIB / 8).await, 0, "no event is settled");
    replica.record_concurrently(200..3000).await;
    db.clock.advance(SignedDuration::from_secs(11));
    assert!(replica.prune_to_size(&db, MIB).await > 0);
    replica.assert_just_below_limit(&db, MIB, SEGMENT).await;
    assert_eq!(replica.verify().await.first_broken, None);
}

async fn a_deletion_that_is_stopped_is_recorded(db: TestDatabase) {
    let replica = db.replica().await;
    replica.record_concurrently(0..3000).await;
    db.clock.advance(SignedDuration::from_secs(11));
    let remaining = async || {
        let rows = db.database.run("SELECT count(*) FROM audit_events", &[]).await.unwrap();
        rows[0].number(0).unwrap()
    };
    let some_are_deleted = async {
        while remaining().await == 3000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let retention = replica.retention(&db, FOR_EVER, Some(MIB));
    tokio::select! {
        deleted = retention.enforce_max_size() => panic!("it is complete: {deleted:?}"),
        () = some_are_deleted => {}
    }
    replica.record_each(3000..3001).await;
    let all = replica.all().await;
    let recorded = all.iter().find(|event| event["type"] == "audit.pruned").expect("the event");
    // A transaction that was committed while it was stopped may be missing.
    let count = recorded["count"].as_u64().unwrap();
    assert!(count > 0 && count <= 3002 - all.len() as u64, "{count}");
}

async fn several_replicas_can_measure_the_log(db: TestDatabase) {
    let (a, b) = (db.replica().await, db.replica().await);
    a.record_concurrently(0..1500).await;
    b.record_concurrently(1500..3000).await;
    db.clock.advance(SignedDuration::from_secs(11));
    let (by_a, by_b) = tokio::join!(a.prune_to_size(&db, MIB), b.prune_to_size(&db, MIB));
    let rest = a.prune_to_size(&db, MIB).await;
    assert!(by_a + by_b + rest > 0);
    a.assert_just_below_limit(&db, MIB, SEGMENT).await;
    assert_eq!(a.verify().await.first_broken, None);
}

async fn a_broken_log_is_not_pruned(db: TestDatabase) {
    let replica = db.replica().await;
    replica.record_concurrently(0..2000).await;
    db.clock.advance(SignedDuration::from_secs(11));
    db.database.run("UPDATE audit_events SET subject = 'eve' WHERE seq = 2", &[]).await.unwrap();
    let refused = replica.retention(&db, FOR_EVER, Some(MIB)).enforce_max_size().await.unwrap_err();
    assert!(refused.to_string().contains("broken at event 2"), "{refused}");
    assert_eq!(replica.verify().await.events, 2000);
}

/// Compares the size that the database reports, with indices, with the limit at which nothing is deleted.
async fn the_measured_size_is_not_below_the_used_size(db: TestDatabase) {
    const SQLITE: &str = "SELECT (page_count - freelist_count) * page_size \
         FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    const POSTGRES: &str = "SELECT pg_total_relation_size('audit_events')";
    let in_use = async || {
        let sql = if db.database.is_remote() { POSTGRES } else { SQLITE };
        u64::try_from(db.database.run(sql, &[]).await.unwrap()[0].number(0).unwrap()).unwrap()
    };
    let replica = db.replica().await;
    let before = in_use().await;
    replica.record_concurrently(0..6000).await;
    db.clock.advance(SignedDuration::from_secs(11));
    let used = in_use().await - before;
    // One segment too many may be deleted, so the limit is a little lower.
    assert_eq!(replica.prune_to_size(&db, used * 3).await, 0, "{used}");
    assert!(replica.prune_to_size(&db, used).await > 0, "{used} are in use, and less were measured");
}

async fn the_size_is_exact_while_events_are_written_and_deleted(db: TestDatabase) {
    let replica = db.replica().await;
    replica.record_concurrently(0..300).await;
    let metrics = Arc::new(Metrics::new(&[], &[]).unwrap());
    let limits = RetentionLimits { max_age: Duration::from_mins(1), max_size: Some(64 * MIB) };
    let retention = Retention::new(&replica.log, limits, db.clock.clone(), metrics.clone());
    let measured_exactly = async || {
        assert_eq!(retention.enforce_max_size().await.unwrap(), 0);
        let line = format!("claviger_audit_size_bytes {}\n", db.size().await);
        let text = String::from_utf8(metrics.encode().unwrap()).unwrap();
        assert!(text.contains(&line), "{line} is not in {text}");
    };
    measured_exactly().await;
    replica.record_concurrently(300..700).await;
    measured_exactly().await;
    // An event of another replica, whose size this one does not know.
    let other = db.replica().await;
    other.record_each(0..3).await;
    replica.record_each(700..710).await;
    measured_exactly().await;
    for round in 0..4 {
        db.clock.advance(SignedDuration::from_secs(11));
        let first = 710 + round * 1000;
        replica.record_concurrently(first..first + 1000).await;
        measured_exactly().await;
    }
    db.clock.advance(SignedDuration::from_secs(45));
    while retention.delete_old_batch().await.unwrap().has_more {}
    replica.record_each(5000..5010).await;
    // A segment of which some rows are deleted counts until all of them are.
    db.clock.advance(SignedDuration::from_secs(70));
    while retention.delete_old_batch().await.unwrap().has_more {}
    measured_exactly().await;
    replica.record_concurrently(5010..5100).await;
    measured_exactly().await;
}
