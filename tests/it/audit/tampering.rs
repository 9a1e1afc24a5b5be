//! Tampering by direct writes to the database is found, with its place.

use super::{TestDatabase, first_fault, on_every_database};

on_every_database! {
    tampering_with_rows_is_reported_at_its_position
    a_replica_detects_a_missing_end_of_its_chain
    a_missing_predecessor_of_a_chain_is_reported
    a_forged_anchor_does_not_hide_deleted_events
}

async fn tampering_with_rows_is_reported_at_its_position(db: TestDatabase) {
    let replica = db.replica().await;
    replica.record_each(0..20).await;
    replica.assert_verifies(20, 1).await;
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
        let before = db.database.run(subject, &[]).await.unwrap();
        db.database.run(update(change), &[]).await.unwrap();
        assert_eq!(first_fault(&replica).await, Some((11, expected)), "{change}");
        if undo.is_empty() {
            let old = before[0].optional_text(0).unwrap();
            let put_back = "UPDATE audit_events SET subject = $1 WHERE seq = 11";
            db.database.run(put_back, &[old.as_deref().into()]).await.unwrap();
        } else if change.contains("outcome") {
            let put_back = "UPDATE audit_events SET outcome = $1 WHERE seq = 11";
            db.database.run(put_back, &[(&before[0].text(1).unwrap()).into()]).await.unwrap();
        } else {
            db.database.run(update(undo), &[]).await.unwrap();
        }
        replica.assert_verifies(20, 1).await;
    }
    db.database.run("DELETE FROM audit_events WHERE seq = 4", &[]).await.unwrap();
    assert_eq!(first_fault(&replica).await, Some((4, "missing")));
}

async fn a_replica_detects_a_missing_end_of_its_chain(db: TestDatabase) {
    let replica = db.replica().await;
    replica.record_each(0..9).await;
    db.database.run("DELETE FROM audit_events WHERE seq > 6", &[]).await.unwrap();
    assert_eq!(first_fault(&replica).await, Some((7, "missing")));
    db.database.run("DELETE FROM audit_events", &[]).await.unwrap();
    assert_eq!(first_fault(&replica).await, Some((1, "missing")));
}

async fn a_missing_predecessor_of_a_chain_is_reported(db: TestDatabase) {
    let first = db.replica().await;
    first.record_each(0..6).await;
    first.shut_down().await;
    let second = db.replica().await;
    second.record_each(6..9).await;
    db.database.run("DELETE FROM audit_events WHERE seq > 4", &[]).await.unwrap();
    let verified = second.verify().await;
    assert_eq!(first_fault(&second).await, Some((5, "missing")));
    assert_eq!((verified.events, verified.chains), (7, 2));
}

async fn a_forged_anchor_does_not_hide_deleted_events(db: TestDatabase) {
    let replica = db.replica().await;
    replica.record_each(0..6).await;
    db.database.run("DELETE FROM audit_events WHERE seq < 3", &[]).await.unwrap();
    assert_eq!(first_fault(&replica).await, Some((1, "missing")));
    let forged = "INSERT INTO audit_anchors SELECT chain, 2, prev_hash, 'pruned', hash FROM audit_events WHERE seq = 3";
    db.database.run(forged, &[]).await.unwrap();
    assert_eq!(first_fault(&replica).await, Some((1, "missing")));
}
