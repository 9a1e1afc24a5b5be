//! The chain's key is set, changed and retired: older events still verify, and are deleted when they are old.

use super::{Place, Replica, on_every_place};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use claviger::audit::ChainHasher;
use claviger::sealing::keys::RootKey;
use jiff::SignedDuration;
use std::time::Duration;

const KEEP: Duration = Duration::from_hours(24);
const A_DAY: SignedDuration = SignedDuration::from_hours(25);

on_every_place! {
    a_chain_of_a_retired_key_verifies
    a_chain_of_a_key_that_is_not_configured_is_reported
    a_first_key_covers_the_earlier_chains_without_a_key
    chains_without_a_key_digest_in_their_name_verify_under_the_key
    a_chain_written_without_the_key_is_reported
}

fn key(byte: u8) -> RootKey {
    RootKey::new([byte; 32].into())
}

fn sealer(current: u8, retired: &[u8]) -> ChainHasher {
    ChainHasher::new(Some(&key(current)), &retired.iter().map(|byte| key(*byte)).collect::<Vec<_>>())
}

async fn found(replica: &Replica) -> Option<(i64, &'static str)> {
    replica.verify().await.first_broken.map(|broken| (broken.seq, broken.reason.as_str()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn plain(text: &str) -> String {
    hex(digest(&SHA256, text.as_bytes()).as_ref())
}

fn keyed(byte: u8) -> impl Fn(&str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]);
    move |text| hex(hmac::sign(&key, text.as_bytes()).as_ref())
}

/// Edits the texts of a chain's events, and computes all its hashes again.
async fn reseal(place: &Place, chain: &str, hash: impl Fn(&str) -> String, edit: impl Fn(i64, String) -> String) {
    const ALL: &str = "SELECT seq, prev_hash, event FROM audit_events WHERE chain = $1 ORDER BY seq";
    const SET: &str = "UPDATE audit_events SET prev_hash = $3, hash = $4, event = $5 WHERE chain = $1 AND seq = $2";
    let mut head = None;
    for row in place.database.run(ALL, &[chain.into()]).await.unwrap() {
        let (seq, old) = (row.number(0).unwrap(), row.text(1).unwrap());
        let prev = head.unwrap_or_else(|| old.clone());
        let text = edit(seq, row.text(2).unwrap().replace(&old, &prev));
        let sealed = hash(&text);
        place
            .database
            .run(SET, &[chain.into(), seq.into(), (&prev).into(), (&sealed).into(), (&text).into()])
            .await
            .unwrap();
        head = Some(sealed);
    }
}

async fn newest_chain(place: &Place) -> String {
    let rows = place.database.run("SELECT chain FROM audit_events ORDER BY rowid DESC LIMIT 1", &[]).await;
    rows.unwrap()[0].text(0).unwrap()
}

async fn a_chain_of_a_retired_key_verifies(place: Place) {
    for (byte, retired) in [(1, &[][..]), (2, &[1]), (3, &[2, 1])] {
        let replica = place.replica_with(sealer(byte, retired)).await;
        replica.records(0..20).await;
        replica.holds(20 * u64::from(byte), byte.into()).await;
        replica.ends().await;
    }
    place.clock.turn(A_DAY);
    let last = place.replica_with(sealer(4, &[3, 2, 1])).await;
    last.records(0..5).await;
    last.holds(65, 4).await;
    assert_eq!(last.forget(&place, KEEP).await, 60);
    last.holds(5, 1).await;
    last.ends().await;
    // The marks that retention has kept of the old chains are sealed under a key that can be retired too.
    let next = place.replica_with(sealer(5, &[4, 3, 2, 1])).await;
    next.records(0..1).await;
    next.holds(6, 2).await;
}

async fn a_chain_of_a_key_that_is_not_configured_is_reported(place: Place) {
    let first = place.replica_with(sealer(1, &[])).await;
    first.records(0..4).await;
    first.ends().await;
    place.clock.turn(A_DAY);
    for forgetful in [sealer(2, &[]), sealer(2, &[3])] {
        let replica = place.replica_with(forgetful).await;
        replica.records(4..6).await;
        assert_eq!(found(&replica).await, Some((1, "unknown_key")));
        let refused = replica.retention(&place, KEEP, None).delete_old_batch().await.unwrap_err();
        assert!(refused.to_string().contains("broken at event 1"), "{refused}");
        replica.ends().await;
    }
    let mindful = place.replica_with(sealer(2, &[1])).await;
    mindful.records(6..7).await;
    mindful.holds(9, 4).await;
    mindful.ends().await;
    let without = place.replica().await;
    without.records(7..8).await;
    assert_eq!(found(&without).await, Some((1, "unknown_key")));
    without.ends().await;
    // Events written without a key in between could be anyone's.
    let mindful = place.replica_with(sealer(2, &[1])).await;
    mindful.records(8..9).await;
    assert_eq!(found(&mindful).await, Some((1, "altered")));
}

async fn a_first_key_covers_the_earlier_chains_without_a_key(place: Place) {
    // Two runs without a key; in the second one there are two replicas.
    let first = place.replica().await;
    first.records(0..5).await;
    first.ends().await;
    let (a, b) = (place.replica().await, place.replica().await);
    a.records(0..5).await;
    b.records(5..10).await;
    a.records(10..12).await;
    b.ends().await;
    let with_key = place.replica_with(sealer(1, &[])).await;
    with_key.records(0..5).await;
    // A replica of the first run has not ended yet.
    a.records(12..14).await;
    a.ends().await;
    with_key.holds(24, 4).await;
    place.clock.turn(A_DAY);
    with_key.records(5..6).await;
    assert_eq!(with_key.forget(&place, KEEP).await, 24);
    with_key.holds(1, 1).await;
    with_key.ends().await;
    let next = place.replica_with(sealer(1, &[])).await;
    next.records(0..1).await;
    next.holds(2, 2).await;
}

async fn chains_without_a_key_digest_in_their_name_verify_under_the_key(place: Place) {
    let old = place.replica().await;
    old.records(0..10).await;
    let chain = newest_chain(&place).await;
    old.ends().await;
    reseal(&place, &chain, keyed(1), |_, text| text).await;
    let replica = place.replica_with(sealer(1, &[])).await;
    replica.records(0..2).await;
    replica.holds(12, 2).await;
    replica.ends().await;
    let changed = place.replica_with(sealer(2, &[1])).await;
    changed.records(0..1).await;
    changed.holds(13, 3).await;
    // With hashes recomputed without the key, it does not pass for an older chain without a key.
    reseal(&place, &chain, plain, |_, text| text).await;
    assert!(found(&changed).await.is_some_and(|(_, reason)| reason != "unknown_key"));
}

async fn a_chain_written_without_the_key_is_reported(place: Place) {
    let before = place.replica().await;
    before.records(0..6).await;
    let plain_chain = newest_chain(&place).await;
    before.ends().await;
    let replica = place.replica_with(sealer(1, &[])).await;
    replica.records(0..6).await;
    let chain = newest_chain(&place).await;
    replica.holds(12, 2).await;
    let edit = |seq, text: String| if seq == 4 { text.replace("\"outcome\":\"", "\"outcome\": \"") } else { text };
    // The chain with the key, with all its hashes recomputed without a key.
    reseal(&place, &chain, plain, edit).await;
    assert_eq!(found(&replica).await, Some((1, "altered")));
    reseal(&place, &chain, keyed(1), |_, text| text.replace("\"outcome\": \"", "\"outcome\":\"")).await;
    replica.holds(12, 2).await;
    // The previous chain, whose head the keyed chain names.
    reseal(&place, &plain_chain, plain, edit).await;
    assert!(found(&replica).await.is_some());
    reseal(&place, &plain_chain, plain, |_, text| text.replace("\"outcome\": \"", "\"outcome\":\"")).await;
    replica.holds(12, 2).await;
    // A chain that no broker has written.
    let forger = place.replica().await;
    forger.records(0..3).await;
    let forged = newest_chain(&place).await;
    forger.ends().await;
    assert_eq!(found(&replica).await, Some((1, "altered")));
    // A restart does not make one genuine, and neither does a second one.
    for restart in 0..2 {
        let next = place.replica_with(sealer(1, &[])).await;
        next.records(0..1).await;
        assert_eq!(found(&next).await, Some((1, "altered")), "{restart}");
        next.ends().await;
    }
    // Without the forged chain the log is valid: each chain names the last preceding event that a broker wrote.
    place.database.run("DELETE FROM audit_events WHERE chain = $1", &[(&forged).into()]).await.unwrap();
    place.database.run("DELETE FROM audit_anchors WHERE chain = $1", &[(&forged).into()]).await.unwrap();
    replica.holds(14, 4).await;
}
