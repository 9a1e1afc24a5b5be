//! The leases of a process that has ended, and the process that adopts them.

use super::*;
use claviger::stores::{EndedLease, RevocationProgress};

/// One process ends, and another one adopts its leases and manages them.
async fn are_adopted(place: Place, says_goodbye: bool) {
    let bao = Bao::start().await;
    let url = bao.enable_database().await;
    bao.database_role("app", "40s", "10m").await;
    bao.database_role("all", "20s", "10m").await;
    let (staying, ending) = (pod("staying"), pod("ending"));
    let before = Keeper::new(&place, &bao).await;
    let stays = before.read("app", PER_POD, &staying).await.unwrap();
    let ends = before.read("app", PER_POD, &ending).await.unwrap();
    let shared = before.read("all", SHARED, &ending).await.unwrap();
    if says_goodbye {
        before.stores.stop_leases().await;
    }
    let (events, database) = (before.events(), before.database.clone());
    drop(before);
    database.close().await;
    assert_eq!(events.len(), 3, "nothing is taken back at the end: {events:?}");

    let after = Keeper::new(&place, &bao).await;
    assert_eq!(after.list().await.len(), 3, "what is on record is shown before it is adopted");
    if says_goodbye {
        until("it to be adopted", async || after.active() == 3).await;
        // Longer than the wait for a renewal.
        tokio::time::sleep(Duration::from_secs(12)).await;
    } else {
        assert_eq!(after.active(), 0, "a process that was there a moment ago may be there still");
        tokio::time::sleep(Duration::from_secs(10)).await;
        until("it to be adopted", async || after.active() > 0).await;
    }
    after.stores.revoke_leases_of(&ending.identity());
    until("the lease of a pod that has ended to be taken back", async || !open(&url, &ends).await).await;
    until("the end of the shared one, of which nobody knows who uses it", async || !open(&url, &shared).await).await;
    assert!(open(&url, &stays).await, "its pod is still there");
    tokio::time::sleep(Duration::from_secs(5)).await;
    until("a renewal", async || after.count(LeaseEventKind::Renewed) >= 1).await;
    assert_ne!(after.read("app", PER_POD, &staying).await.unwrap(), stays, "what it gave was not on record");
    assert!(open(&url, &stays).await);
    assert!(after.events().contains(&(LeaseEventKind::Revoked, Some("pod_ended"))), "{:?}", after.events());
    let held = after.list().await.into_iter().find(|lease| lease.held_by.is_some()).unwrap();
    assert_eq!(held.held_by.unwrap().identity(), staying.identity());
}

#[tokio::test]
async fn leases_of_a_process_that_crashed_are_adopted_on_sqlite() {
    are_adopted(Place::sqlite(), false).await;
}

#[tokio::test]
async fn leases_of_a_process_that_crashed_are_adopted_on_postgres() {
    are_adopted(Place::postgres().await, false).await;
}

#[tokio::test]
async fn leases_of_a_process_that_signed_off_are_adopted_at_once() {
    are_adopted(Place::sqlite(), true).await;
}

#[tokio::test]
async fn a_process_forwards_revocations_to_the_process_with_the_lease() {
    let (bao, place) = (Bao::start().await, Place::postgres().await);
    let url = bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let (one, other) = (Keeper::new(&place, &bao).await, Keeper::new(&place, &bao).await);
    let (pod_of_one, admin) = (pod("one"), pod("admin"));
    let credentials = one.read("app", PER_POD, &pod_of_one).await.unwrap();
    other.read("app", PER_POD, &pod("other")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(21)).await;
    assert_eq!((one.active(), other.active()), (1, 1), "both count on");

    let lease = other
        .list()
        .await
        .into_iter()
        .find(|lease| lease.held_by.as_ref().is_some_and(|by| by.identity() == pod_of_one.identity()));
    let ended = other.stores.end_lease(&lease.unwrap().id, &admin).await.unwrap();
    assert_eq!(ended, Some(EndedLease::Revoked(RevocationProgress::InProgress)), "another process looks after it");
    until("that process to take it back", async || !open(&url, &credentials).await).await;
    until("its record to go", async || other.list().await.len() == 1).await;
    assert_eq!((one.active(), other.active()), (0, 1));
    assert!(one.events().contains(&(LeaseEventKind::Revoked, Some("administrator"))));
}

#[tokio::test]
async fn a_process_drops_its_leases_after_another_adopted_them() {
    let (bao, place) = (Bao::start().await, Place::sqlite());
    let url = bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let keeper = Keeper::new(&place, &bao).await;
    let first = keeper.read("app", PER_POD, &pod("one")).await.unwrap();
    for statement in ["UPDATE leases SET owner = 'another'", "UPDATE lease_owners SET owner = 'another'"] {
        keeper.database.run(statement, &[]).await.unwrap();
    }
    until("it to notice", async || keeper.active() == 0).await;
    let second = keeper.read("app", PER_POD, &pod("one")).await.unwrap();
    assert_ne!(first, second);
    assert!(open(&url, &first).await, "the other one looks after it");
}

#[tokio::test]
async fn orphaned_leases_of_a_renamed_authenticator_are_counted_and_not_renewed() {
    let (bao, place) = (Bao::start().await, Place::sqlite());
    let url = bao.enable_database().await;
    bao.database_role("app", "9s", "10m").await;
    let both = ["cluster", "other"];
    let before = Keeper::with_clusters(&place, &bao.address, &bao.root, &both).await;
    let (renamed, kept) = (pod_of("cluster", "renamed"), pod_of("other", "kept"));
    let ends = before.read("app", PER_POD, &renamed).await.unwrap();
    let stays = before.read("app", PER_POD, &kept).await.unwrap();
    let orphaned = "claviger_leases_orphaned{store=\"vault\"}";
    assert_eq!(before.counted(orphaned), 0);
    before.stores.stop_leases().await;
    let database = before.database.clone();
    drop(before);
    database.close().await;

    let after = Keeper::with_clusters(&place, &bao.address, &bao.root, &["prod", "other"]).await;
    until("it to be adopted", async || after.active() == 2).await;
    until("it to be counted", async || after.counted(orphaned) == 1).await;
    until("the end of a lease of whose pod nobody learns", async || !open(&url, &ends).await).await;
    until("a renewal of the other", async || after.count(LeaseEventKind::Renewed) >= 1).await;
    assert!(open(&url, &stays).await);
    until("its record to go", async || after.list().await.len() == 1).await;
    until("it to be counted no more", async || after.counted(orphaned) == 0).await;
    let renewed = "claviger_lease_renewals_total{outcome=\"ok\",store=\"vault\"}";
    assert!(after.counted(renewed) >= 1);
}
