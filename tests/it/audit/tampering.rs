//! Tampering by direct writes to the database is found, with its place.

use super::{Place, Replica, on_every_place};
use claviger::audit::BrokenEvent;

on_every_place! {
    tampering_with_rows_is_reported_at_its_position
    a_replica_detects_a_missing_end_of_its_chain
    a_missing_predecessor_of_a_chain_is_reported
    a_forged_anchor_does_not_hide_deleted_events
}

async fn found(replica: &Replica) -> Option<(i64, &'static str)> {
    let broken: Option<BrokenEvent> = replica.verify().await.first_broken;
    broken.map(|broken| (broken.seq, broken.reason.as_str()))
}

async fn tampering_with_rows_is_reported_at_its_position(place: Place) {
    let replica = place.replica().await;
    replica.records(0..20).await;
    replica.holds(20, 1).await;
    for (change, undo, expected) in [
        ("SET outcome = 'ok '", "SET outcome = trim(outcome)", "altered"),
        ("SET type = type || 'x'", "SET type = replace(type, 'x', '')", "altered"),
        ("SET time = time || 'x'", "SET time = replace(time, 'x', '')", "altered"),
        ("SET subject = 'eve'", "", "altered"),
    ] {
        let update = |set: &str| -> &'static str {
            Box::leak(format!("UPDATE audit_events {set} WHERE seq = 11").into_boxed_str())
        };
        let subject = "SELECT subject, outcome FROM audit_events WHERE seq = 11";
        let before = place.database.run(subject, &[]).await.unwrap();
        place.database.run(update(change), &[]).await.unwrap();
        assert_eq!(found(&replica).await, Some((11, expected)), "{change}");
        if undo.is_empty() {
            let old = before[0].optional_text(0).unwrap();
            let put_back = "UPDATE audit_events SET subject = $1 WHERE seq = 11";
            place.database.run(put_back, &[old.as_deref().into()]).await.unwrap();
        } else if change.contains("outcome") {
            let put_back = "UPDATE audit_events SET outcome = $1 WHERE seq = 11";
            place.database.run(put_back, &[(&before[0].text(1).unwrap()).into()]).await.unwrap();
        } else {
            place.database.run(update(undo), &[]).await.unwrap();
        }
        replica.holds(20, 1).await;
    }
    place.database.run("DELETE FROM audit_events WHERE seq = 4", &[]).await.unwrap();
    assert_eq!(found(&replica).await, Some((4, "missing")));
}

async fn a_replica_detects_a_missing_end_of_its_chain(place: Place) {
    let replica = place.replica().await;
    replica.records(0..9).await;
    place.database.run("DELETE FROM audit_events WHERE seq > 6", &[]).await.unwrap();
    assert_eq!(found(&replica).await, Some((7, "missing")));
    place.database.run("DELETE FROM audit_events", &[]).await.unwrap();
    assert_eq!(found(&replica).await, Some((1, "missing")));
}

async fn a_missing_predecessor_of_a_chain_is_reported(place: Place) {
    let first = place.replica().await;
    first.records(0..6).await;
    first.ends().await;
    let second = place.replica().await;
    second.records(6..9).await;
    place.database.run("DELETE FROM audit_events WHERE seq > 4", &[]).await.unwrap();
    let verified = second.verify().await;
    assert_eq!(found(&second).await, Some((5, "missing")));
    assert_eq!((verified.events, verified.chains), (7, 2));
}

async fn a_forged_anchor_does_not_hide_deleted_events(place: Place) {
    let replica = place.replica().await;
    replica.records(0..6).await;
    place.database.run("DELETE FROM audit_events WHERE seq < 3", &[]).await.unwrap();
    assert_eq!(found(&replica).await, Some((1, "missing")));
    let forged = "INSERT INTO audit_anchors SELECT chain, 2, prev_hash, 'pruned', hash FROM audit_events WHERE seq = 3";
    place.database.run(forged, &[]).await.unwrap();
    assert_eq!(found(&replica).await, Some((1, "missing")));
}
