//! Old events are deleted and the rest can still be verified: after restarts, with several replicas, and after
//! tampering.

use super::{TestDatabase, on_every_database, seq};
use jiff::SignedDuration;
use std::time::Duration;

const KEEP: Duration = Duration::from_hours(24);
const A_DAY: SignedDuration = SignedDuration::from_hours(25);

on_every_database! {
    old_events_are_deleted_and_the_rest_verifies
    the_newest_event_is_kept_and_the_next_chain_names_it
    a_chain_without_recent_events_still_verifies_after_pruning
    concurrent_replicas_delete_each_event_once
    a_broken_event_is_not_deleted
    events_from_before_a_clock_was_set_back_are_deleted
}

async fn old_events_are_deleted_and_the_rest_verifies(db: TestDatabase) {
    let replica = db.replica().await;
    replica.record_each(0..450).await;
    assert_eq!(replica.delete_older_than(&db, KEEP).await, 0, "nothing is old");
    db.clock.advance(A_DAY);
    replica.record_each(450..460).await;
    assert_eq!(replica.delete_older_than(&db, KEEP).await, 450);
    replica.assert_verifies(10, 1).await;
    assert_eq!(replica.all().await.iter().map(seq).map(|(_, seq)| seq).min(), Some(451));
    assert_eq!(replica.delete_older_than(&db, KEEP).await, 0);
    // The first remaining event is missed like any other.
    db.database.run("DELETE FROM audit_events WHERE seq = 451", &[]).await.unwrap();
    let broken = replica.verify().await.first_broken.unwrap();
    assert_eq!((broken.seq, broken.reason.as_str()), (451, "missing"));
}

async fn the_newest_event_is_kept_and_the_next_chain_names_it(db: TestDatabase) {
    let first = db.replica().await;
    first.record_each(0..5).await;
    first.shut_down().await;
    db.clock.advance(A_DAY);
    let second = db.replica().await;
    assert_eq!(second.delete_older_than(&db, KEEP).await, 4);
    second.record_each(5..8).await;
    second.assert_verifies(4, 2).await;
    assert_eq!(second.delete_older_than(&db, KEEP).await, 1);
    second.assert_verifies(3, 1).await;
    let all = second.all().await;
    assert_ne!(all[2]["prevHash"], "0".repeat(64));
}

async fn a_chain_without_recent_events_still_verifies_after_pruning(db: TestDatabase) {
    let busy = db.replica().await;
    busy.record_each(0..5).await;
    // It has read the head that its chain will refer to.
    let silent = db.replica().await;
    busy.record_each(5..10).await;
    db.clock.advance(A_DAY);
    busy.record_each(10..12).await;
    assert_eq!(busy.delete_older_than(&db, KEEP).await, 10);
    silent.record_each(12..14).await;
    silent.assert_verifies(4, 2).await;
    busy.assert_verifies(4, 2).await;
}

async fn concurrent_replicas_delete_each_event_once(db: TestDatabase) {
    let (a, b) = (db.replica().await, db.replica().await);
    a.record_each(0..300).await;
    b.record_each(300..700).await;
    db.clock.advance(A_DAY);
    a.record_each(700..702).await;
    let (by_a, by_b) = tokio::join!(a.delete_older_than(&db, KEEP), b.delete_older_than(&db, KEEP));
    assert_eq!(by_a + by_b, 700);
    a.assert_verifies(2, 1).await;
    b.record_each(702..705).await;
    b.assert_verifies(5, 2).await;
}

async fn a_broken_event_is_not_deleted(db: TestDatabase) {
    let replica = db.replica().await;
    replica.record_each(0..20).await;
    db.clock.advance(A_DAY);
    replica.record_each(20..22).await;
    db.database.run("DELETE FROM audit_events WHERE seq = 7", &[]).await.unwrap();
    let refused = replica.retention(&db, KEEP, None).delete_old_batch().await.unwrap_err();
    assert!(refused.to_string().contains("broken at event 8"), "{refused}");
    let verified = replica.verify().await;
    assert_eq!((verified.events, verified.first_broken.unwrap().seq), (21, 7));
}

async fn events_from_before_a_clock_was_set_back_are_deleted(db: TestDatabase) {
    let ten_years = SignedDuration::from_hours(24 * 3650);
    let replica = db.replica().await;
    replica.record_each(0..10).await;
    // More than one transaction deletes.
    db.clock.advance(ten_years);
    replica.record_concurrently(10..130).await;
    db.clock.advance(-ten_years);
    db.clock.advance(A_DAY);
    assert_eq!(replica.delete_older_than(&db, KEEP).await, 10, "the age of the other events is not known");
    replica.record_each(130..140).await;
    assert_eq!(replica.delete_older_than(&db, KEEP).await, 0, "no event is known to be old");
    db.clock.advance(A_DAY);
    replica.record_each(140..142).await;
    assert_eq!(replica.delete_older_than(&db, KEEP).await, 130);
    replica.assert_verifies(2, 1).await;
}
