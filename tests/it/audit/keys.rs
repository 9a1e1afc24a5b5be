//! The chain's key is set, changed and retired: older events still verify, and are deleted when they are old.

use super::{TestDatabase, first_fault, on_every_database};
use crate::rig::http::hex;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use claviger::audit::ChainHasher;
use claviger::sealing::keys::RootKey;
use jiff::SignedDuration;
use std::time::Duration;

const KEEP: Duration = Duration::from_hours(24);
const A_DAY: SignedDuration = SignedDuration::from_hours(25);

on_every_database! {
    a_chain_of_a_retired_key_verifies
    a_chain_of_a_key_that_is_not_configured_is_reported
    a_first_key_covers_the_earlier_chains_without_a_key
    chains_without_a_key_digest_in_their_name_verify_under_the_key
    a_chain_written_without_the_key_is_reported
}

fn key(byte: u8) -> RootKey {
    RootKey::new([byte; 32].into())
}

fn hasher(current: u8, retired: &[u8]) -> ChainHasher {
    ChainHasher::new(Some(&key(current)), &retired.iter().map(|byte| key(*byte)).collect::<Vec<_>>())
}

fn plain(text: &str) -> String {
    hex(digest(&SHA256, text.as_bytes()).as_ref())
}

fn keyed(byte: u8) -> impl Fn(&str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]);
    move |text| hex(hmac::sign(&key, text.as_bytes()).as_ref())
}

/// Edits the texts of a chain's events, and recomputes all of its hashes.
async fn rehash(db: &TestDatabase, chain: &str, hash: impl Fn(&str) -> String, edit: impl Fn(i64, String) -> String) {
    const ALL: &str = "SELECT seq, prev_hash, event FROM audit_events WHERE chain = $1 ORDER BY seq";
    const SET: &str = "UPDATE audit_events SET prev_hash = $3, hash = $4, event = $5 WHERE chain = $1 AND seq = $2";
    let mut head = None;
    for row in db.database.run(ALL, &[chain.into()]).await.unwrap() {
        let (seq, old) = (row.number(0).unwrap(), row.text(1).unwrap());
        let prev = head.unwrap_or_else(|| old.clone());
        let text = edit(seq, row.text(2).unwrap().replace(&old, &prev));
        let sealed = hash(&text);
        db.database
            .run(SET, &[chain.into(), seq.into(), (&prev).into(), (&sealed).into(), (&text).into()])
            .await
            .unwrap();
        head = Some(sealed);
    }
}

async fn newest_chain(db: &TestDatabase) -> String {
    let rows = db.database.run("SELECT chain FROM audit_events ORDER BY rowid DESC LIMIT 1", &[]).await;
    rows.unwrap()[0].text(0).unwrap()
}

async fn a_chain_of_a_retired_key_verifies(db: TestDatabase) {
    for (byte, retired) in [(1, &[][..]), (2, &[1]), (3, &[2, 1])] {
        let replica = db.replica_with(hasher(byte, retired)).await;
        replica.record_each(0..20).await;
        replica.assert_verifies(20 * u64::from(byte), byte.into()).await;
        replica.shut_down().await;
    }
    db.clock.advance(A_DAY);
    let last = db.replica_with(hasher(4, &[3, 2, 1])).await;
    last.record_each(0..5).await;
    last.assert_verifies(65, 4).await;
    assert_eq!(last.delete_older_than(&db, KEEP).await, 60);
    last.assert_verifies(5, 1).await;
    last.shut_down().await;
    // The marks that retention has kept of the old chains are sealed under a key that can be retired too.
    let next = db.replica_with(hasher(5, &[4, 3, 2, 1])).await;
    next.record_each(0..1).await;
    next.assert_verifies(6, 2).await;
}

async fn a_chain_of_a_key_that_is_not_configured_is_reported(db: TestDatabase) {
    let first = db.replica_with(hasher(1, &[])).await;
    first.record_each(0..4).await;
    first.shut_down().await;
    db.clock.advance(A_DAY);
    for forgetful in [hasher(2, &[]), hasher(2, &[3])] {
        let replica = db.replica_with(forgetful).await;
        replica.record_each(4..6).await;
        assert_eq!(first_fault(&replica).await, Some((1, "unknown_key")));
        let refused = replica.retention(&db, KEEP, None).delete_old_batch().await.unwrap_err();
        assert!(refused.to_string().contains("broken at event 1"), "{refused}");
        replica.shut_down().await;
    }
    let mindful = db.replica_with(hasher(2, &[1])).await;
    mindful.record_each(6..7).await;
    mindful.assert_verifies(9, 4).await;
    mindful.shut_down().await;
    let without = db.replica().await;
    without.record_each(7..8).await;
    assert_eq!(first_fault(&without).await, Some((1, "unknown_key")));
    without.shut_down().await;
    // Events written without a key in between could be forged.
    let mindful = db.replica_with(hasher(2, &[1])).await;
    mindful.record_each(8..9).await;
    assert_eq!(first_fault(&mindful).await, Some((1, "altered")));
}

async fn a_first_key_covers_the_earlier_chains_without_a_key(db: TestDatabase) {
    // Two runs without a key; in the second one there are two replicas.
    let first = db.replica().await;
    first.record_each(0..5).await;
    first.shut_down().await;
    let (a, b) = (db.replica().await, db.replica().await);
    a.record_each(0..5).await;
    b.record_each(5..10).await;
    a.record_each(10..12).await;
    b.shut_down().await;
    let with_key = db.replica_with(hasher(1, &[])).await;
    with_key.record_each(0..5).await;
    // A replica of the first run has not ended yet.
    a.record_each(12..14).await;
    a.shut_down().await;
    with_key.assert_verifies(24, 4).await;
    db.clock.advance(A_DAY);
    with_key.record_each(5..6).await;
    assert_eq!(with_key.delete_older_than(&db, KEEP).await, 24);
    with_key.assert_verifies(1, 1).await;
    with_key.shut_down().await;
    let next = db.replica_with(hasher(1, &[])).await;
    next.record_each(0..1).await;
    next.assert_verifies(2, 2).await;
}

async fn chains_without_a_key_digest_in_their_name_verify_under_the_key(db: TestDatabase) {
    let old = db.replica().await;
    old.record_each(0..10).await;
    let chain = newest_chain(&db).await;
    old.shut_down().await;
    rehash(&db, &chain, keyed(1), |_, text| text).await;
    let replica = db.replica_with(hasher(1, &[])).await;
    replica.record_each(0..2).await;
    replica.assert_verifies(12, 2).await;
    replica.shut_down().await;
    let changed = db.replica_with(hasher(2, &[1])).await;
    changed.record_each(0..1).await;
    changed.assert_verifies(13, 3).await;
    // With hashes recomputed without the key, it does not pass for an older chain without a key.
    rehash(&db, &chain, plain, |_, text| text).await;
    assert!(first_fault(&changed).await.is_some_and(|(_, reason)| reason != "unknown_key"));
}

async fn a_chain_written_without_the_key_is_reported(db: TestDatabase) {
    let before = db.replica().await;
    before.record_each(0..6).await;
    let plain_chain = newest_chain(&db).await;
    before.shut_down().await;
    let replica = db.replica_with(hasher(1, &[])).await;
    replica.record_each(0..6).await;
    let chain = newest_chain(&db).await;
    replica.assert_verifies(12, 2).await;
    let edit = |seq, text: String| if seq == 4 { text.replace("\"outcome\":\"", "\"outcome\": \"") } else { text };
    // The chain with the key, with all its hashes recomputed without a key.
    rehash(&db, &chain, plain, edit).await;
    assert_eq!(first_fault(&replica).await, Some((1, "altered")));
    rehash(&db, &chain, keyed(1), |_, text| text.replace("\"outcome\": \"", "\"outcome\":\"")).await;
    replica.assert_verifies(12, 2).await;
    // The previous chain, whose head the keyed chain names.
    rehash(&db, &plain_chain, plain, edit).await;
    assert!(first_fault(&replica).await.is_some());
    rehash(&db, &plain_chain, plain, |_, text| text.replace("\"outcome\": \"", "\"outcome\":\"")).await;
    replica.assert_verifies(12, 2).await;
    // A chain that no broker has written.
    let forger = db.replica().await;
    forger.record_each(0..3).await;
    let forged = newest_chain(&db).await;
    forger.shut_down().await;
    assert_eq!(first_fault(&replica).await, Some((1, "altered")));
    // A restart does not make one genuine, and neither does a second one.
    for restart in 0..2 {
        let next = db.replica_with(hasher(1, &[])).await;
        next.record_each(0..1).await;
        assert_eq!(first_fault(&next).await, Some((1, "altered")), "{restart}");
        next.shut_down().await;
    }
    // Without the forged chain the log is valid: each chain names the last preceding event that a broker wrote.
    db.database.run("DELETE FROM audit_events WHERE chain = $1", &[(&forged).into()]).await.unwrap();
    db.database.run("DELETE FROM audit_anchors WHERE chain = $1", &[(&forged).into()]).await.unwrap();
    replica.assert_verifies(14, 4).await;
}
