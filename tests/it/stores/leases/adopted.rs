//! The leases of a process that has ended, and the process that adopts them.

use super::*;
use claviger::stores::{EndedLease, RevocationProgress};

/// One process ends, and another one adopts its leases and manages them.
async fn assert_adopted(db: TestDatabase, signs_off: bool) {
    let bao = Bao::start().await;
    let url = bao.enable_database().await;
    bao.database_role("app", "40s", "10m").await;
    bao.database_role("all", "20s", "10m").await;
    let (staying, ending) = (pod("staying"), pod("ending"));
    let before = LeaseManager::new(&db, &bao).await;
    let stays = before.read("app", PER_POD, &staying).await.unwrap();
    let ends = before.read("app", PER_POD, &ending).await.unwrap();
    let shared = before.read("all", SHARED, &ending).await.unwrap();
    if signs_off {
        before.stores.stop_leases().await;
    }
    let (events, database) = (before.events(), before.database.clone());
    drop(before);
    database.close().await;
    assert_eq!(events.len(), 3, "no lease is revoked at the end: {events:?}");

    let after = LeaseManager::new(&db, &bao).await;
    assert_eq!(after.list().await.len(), 3, "recorded leases are listed before they are adopted");
    if signs_off {
        until("the lease to be adopted", async || after.active() == 3).await;
        // Longer than the wait for a renewal.
        tokio::time::sleep(Duration::from_secs(12)).await;
    } else {
        assert_eq!(after.active(), 0, "leases of a process that may still run are not adopted");
        tokio::time::sleep(Duration::from_secs(10)).await;
        until("the lease to be adopted", async || after.active() > 0).await;
    }
    after.stores.revoke_leases_of(&ending.identity());
    until("the lease of a finished pod to be revoked", async || !open(&url, &ends).await).await;
    until("the shared lease to be revoked", async || !open(&url, &shared).await).await;
    assert!(open(&url, &stays).await, "its pod still exists");
    tokio::time::sleep(Duration::from_secs(5)).await;
    until("a renewal", async || after.count(LeaseEventKind::Renewed) >= 1).await;
    assert_ne!(after.read("app", PER_POD, &staying).await.unwrap(), stays, "the new lease is not the adopted one");
    assert!(open(&url, &stays).await);
    assert!(after.events().contains(&(LeaseEventKind::Revoked, Some("pod_ended"))), "{:?}", after.events());
    let held = after.list().await.into_iter().find(|lease| lease.held_by.is_some()).unwrap();
    assert_eq!(held.held_by.unwrap().identity(), staying.identity());
}

#[tokio::test]
async fn leases_of_a_process_that_crashed_are_adopted_on_sqlite() {
    assert_adopted(TestDatabase::sqlite(), false).await;
}

#[tokio::test]
async fn leases_of_a_process_that_crashed_are_adopted_on_postgres() {
    assert_adopted(TestDatabase::postgres().await, false).await;
}

#[tokio::test]
async fn leases_of_a_process_that_signed_off_are_adopted_at_once() {
    assert_adopted(TestDatabase::sqlite(), true).await;
}

#[tokio::test]
async fn a_process_forwards_revocations_to_the_process_with_the_lease() {
    let (bao, db) = (Bao::start().await, TestDatabase::postgres().await);
    let url = bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let (one, other) = (LeaseManager::new(&db, &bao).await, LeaseManager::new(&db, &bao).await);
    let (pod_of_one, admin) = (pod("one"), request_of("admin"));
    let credentials = one.read("app", PER_POD, &pod_of_one).await.unwrap();
    other.read("app", PER_POD, &pod("other")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(21)).await;
    assert_eq!((one.active(), other.active()), (1, 1), "each process counts its own lease");

    let lease = other
        .list()
        .await
        .into_iter()
        .find(|lease| lease.held_by.as_ref().is_some_and(|by| by.identity() == pod_of_one.identity()));
    let ended = other.stores.end_lease(&lease.unwrap().id, &admin).await.unwrap();
    assert_eq!(ended, Some(EndedLease::Revoked(RevocationProgress::InProgress)), "another process manages the lease");
    until("that process to revoke it", async || !open(&url, &credentials).await).await;
    until("the record to be deleted", async || other.list().await.len() == 1).await;
    assert_eq!((one.active(), other.active()), (0, 1));
    until("the event", async || one.count(LeaseEventKind::Revoked) == 1).await;
    assert_eq!(one.revocation(), expected(&admin), "the administrator revoked it, not the pod");
}

/// See [`LeaseManager::revocation`].
fn expected(request: &RevocationRequest) -> (Option<&'static str>, Option<Identity>, Option<RequestId>) {
    (Some("administrator"), Some(request.by.identity()), Some(request.request_id.clone()))
}

#[tokio::test]
async fn the_administrator_is_recorded_if_the_process_with_the_lease_ends_before_the_revocation() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    let url = bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let (one, other) = (LeaseManager::new(&db, &bao).await, LeaseManager::new(&db, &bao).await);
    let credentials = one.read("app", PER_POD, &pod("one")).await.unwrap();
    let database = one.database.clone();
    drop(one);
    database.close().await;
    let (admin, id) = (request_of("admin"), other.list().await.remove(0).id);
    let ended = other.stores.end_lease(&id, &admin).await.unwrap();
    assert_eq!(ended, Some(EndedLease::Revoked(RevocationProgress::InProgress)));
    assert!(open(&url, &credentials).await, "no process has the lease");
    tokio::time::sleep(Duration::from_secs(12)).await;
    until("the adopting process to revoke it", async || !open(&url, &credentials).await).await;
    until("the event", async || other.count(LeaseEventKind::Revoked) == 1).await;
    assert_eq!(other.revocation(), expected(&admin));
}

#[tokio::test]
async fn a_request_for_a_revocation_is_not_readable_and_not_forgeable_in_the_database() {
    let (bao, db) = (Bao::start().await, TestDatabase::postgres().await);
    let url = bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let manager = LeaseManager::new(&db, &bao).await;
    let credentials = manager.read("app", PER_POD, &pod("one")).await.unwrap();
    let forged = "UPDATE leases SET state = 'revoking', revoked_by = 'eyJzdWJqZWN0IjoiYWRtaW4ifQ'";
    manager.database.run(forged, &[]).await.unwrap();
    until("the lease to be revoked", async || !open(&url, &credentials).await).await;
    until("the event", async || manager.count(LeaseEventKind::Revoked) == 1).await;
    assert_eq!(manager.revocation(), (Some("administrator"), None, None), "not the pod");
}

#[tokio::test]
async fn events_of_leases_of_unknown_stores_do_not_delay_the_heartbeat() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let before = LeaseManager::new(&db, &bao).await;
    for name in ["one", "two", "three"] {
        before.read("app", PER_POD, &pod(name)).await.unwrap();
    }
    before.stores.stop_leases().await;
    let database = before.database.clone();
    drop(before);
    database.close().await;

    let recorder = Arc::new(TestRecorder { delays: true.into(), ..TestRecorder::default() });
    let after = LeaseManager::start(&db, &[], &["cluster"], recorder).await;
    let heartbeat = async || {
        let sql = "SELECT beat FROM lease_owners o WHERE EXISTS (SELECT 1 FROM leases l WHERE l.owner = o.owner)";
        let rows = after.database.run(sql, &[]).await.unwrap();
        rows.first().map(|row| row.number(0).unwrap())
    };
    until("the leases to be adopted", async || heartbeat().await.is_some()).await;
    until("two heartbeats", async || heartbeat().await >= Some(3)).await;
    assert_eq!(after.events(), [], "none is recorded yet");
    after.recorder.delays.store(false, Ordering::SeqCst);
    until("the events", async || after.events().len() == 3).await;
    assert_eq!(after.events(), [(LeaseEventKind::Failed, Some("store_unknown")); 3]);
}

#[tokio::test]
async fn a_process_drops_its_leases_after_another_adopted_them() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    let url = bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let manager = LeaseManager::new(&db, &bao).await;
    let first = manager.read("app", PER_POD, &pod("one")).await.unwrap();
    for statement in ["UPDATE leases SET owner = 'another'", "UPDATE lease_owners SET owner = 'another'"] {
        manager.database.run(statement, &[]).await.unwrap();
    }
    until("the process to drop the lease", async || manager.active() == 0).await;
    let second = manager.read("app", PER_POD, &pod("one")).await.unwrap();
    assert_ne!(first, second);
    assert!(open(&url, &first).await, "the other process manages the lease");
}

#[tokio::test]
async fn orphaned_leases_of_a_renamed_authenticator_are_counted_and_not_renewed() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    let url = bao.enable_database().await;
    bao.database_role("app", "9s", "10m").await;
    let both = ["cluster", "other"];
    let before = LeaseManager::with_clusters(&db, &bao.address, &bao.root, &both).await;
    let (renamed, kept) = (pod_of("cluster", "renamed"), pod_of("other", "kept"));
    let ends = before.read("app", PER_POD, &renamed).await.unwrap();
    let stays = before.read("app", PER_POD, &kept).await.unwrap();
    let orphaned = "claviger_leases_orphaned{store=\"vault\"}";
    assert_eq!(before.counted(orphaned), 0);
    before.stores.stop_leases().await;
    let database = before.database.clone();
    drop(before);
    database.close().await;

    let after = LeaseManager::with_clusters(&db, &bao.address, &bao.root, &["prod", "other"]).await;
    until("the lease to be adopted", async || after.active() == 2).await;
    until("the orphan to be counted", async || after.counted(orphaned) == 1).await;
    until("the lease of an unknown pod to end", async || !open(&url, &ends).await).await;
    until("the other lease to be renewed", async || after.count(LeaseEventKind::Renewed) >= 1).await;
    assert!(open(&url, &stays).await);
    until("the record to be deleted", async || after.list().await.len() == 1).await;
    until("the orphan to be no longer counted", async || after.counted(orphaned) == 0).await;
    let renewed = "claviger_lease_renewals_total{outcome=\"ok\",store=\"vault\"}";
    assert!(after.counted(renewed) >= 1);
}
