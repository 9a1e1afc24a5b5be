//! Old events are deleted and the rest can still be verified: after restarts, with several replicas, and after
//! tampering.

use super::{Place, on_every_place, seq};
use jiff::SignedDuration;
use std::time::Duration;

const KEEP: Duration = Duration::from_hours(24);
const A_DAY: SignedDuration = SignedDuration::from_hours(25);

on_every_place! {
    old_events_are_deleted_and_the_rest_verifies
    the_newest_event_is_kept_and_the_next_chain_names_it
    a_chain_without_recent_events_still_verifies_after_pruning
    concurrent_replicas_delete_each_event_once
    a_broken_event_is_not_deleted
}

async fn old_events_are_deleted_and_the_rest_verifies(place: Place) {
    let replica = place.replica().await;
    replica.records(0..450).await;
    assert_eq!(replica.forget(&place, KEEP).await, 0, "nothing is old");
    place.clock.turn(A_DAY);
    replica.records(450..460).await;
    assert_eq!(replica.forget(&place, KEEP).await, 450);
    replica.holds(10, 1).await;
    assert_eq!(replica.all().await.iter().map(seq).map(|(_, seq)| seq).min(), Some(451));
    assert_eq!(replica.forget(&place, KEEP).await, 0);
    // The first remaining event is missed like any other.
    place.database.run("DELETE FROM audit_events WHERE seq = 451", &[]).await.unwrap();
    let broken = replica.verify().await.first_broken.unwrap();
    assert_eq!((broken.seq, broken.reason.as_str()), (451, "missing"));
}

async fn the_newest_event_is_kept_and_the_next_chain_names_it(place: Place) {
    let first = place.replica().await;
    first.records(0..5).await;
    first.ends().await;
    place.clock.turn(A_DAY);
    let second = place.replica().await;
    assert_eq!(second.forget(&place, KEEP).await, 4);
    second.records(5..8).await;
    second.holds(4, 2).await;
    assert_eq!(second.forget(&place, KEEP).await, 1);
    second.holds(3, 1).await;
    let all = second.all().await;
    assert_ne!(all[2]["prevHash"], "0".repeat(64));
}

async fn a_chain_without_recent_events_still_verifies_after_pruning(place: Place) {
    let busy = place.replica().await;
    busy.records(0..5).await;
    // It has read the head that its chain will refer to.
    let silent = place.replica().await;
    busy.records(5..10).await;
    place.clock.turn(A_DAY);
    busy.records(10..12).await;
    assert_eq!(busy.forget(&place, KEEP).await, 10);
    silent.records(12..14).await;
    silent.holds(4, 2).await;
    busy.holds(4, 2).await;
}

async fn concurrent_replicas_delete_each_event_once(place: Place) {
    let (a, b) = (place.replica().await, place.replica().await);
    a.records(0..300).await;
    b.records(300..700).await;
    place.clock.turn(A_DAY);
    a.records(700..702).await;
    let (by_a, by_b) = tokio::join!(a.forget(&place, KEEP), b.forget(&place, KEEP));
    assert_eq!(by_a + by_b, 700);
    a.holds(2, 1).await;
    b.records(702..705).await;
    b.holds(5, 2).await;
}

async fn a_broken_event_is_not_deleted(place: Place) {
    let replica = place.replica().await;
    replica.records(0..20).await;
    place.clock.turn(A_DAY);
    replica.records(20..22).await;
    place.database.run("DELETE FROM audit_events WHERE seq = 7", &[]).await.unwrap();
    let refused = replica.retention(&place, KEEP, None).delete_old_batch().await.unwrap_err();
    assert!(refused.to_string().contains("broken at event 8"), "{refused}");
    let verified = replica.verify().await;
    assert_eq!((verified.events, verified.first_broken.unwrap().seq), (21, 7));
}
