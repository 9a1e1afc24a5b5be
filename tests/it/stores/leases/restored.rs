//! Leases recorded for this process that it does not know, because the answer to the adopting transaction was
//! lost.

use super::*;
use claviger::stores::{EndedLease, RevocationProgress};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

/// Forwards connections to a PostgreSQL server. Once armed, it forwards the next `COMMIT` and closes the
/// connection before the answer.
struct CuttingProxy {
    url: String,
    armed: Arc<AtomicBool>,
    has_cut: Arc<AtomicBool>,
}

impl CuttingProxy {
    fn before(url: &str) -> Self {
        let server_port: u16 = url.split("127.0.0.1:").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (armed, has_cut) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let cutting = Self {
            url: url.replace(&format!(":{server_port}/"), &format!(":{port}/")),
            armed: armed.clone(),
            has_cut: has_cut.clone(),
        };
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(("127.0.0.1", server_port)).unwrap();
                let (armed, has_cut) = (armed.clone(), has_cut.clone());
                let (to_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || forward_to_server(client, server, &armed, &has_cut));
                std::thread::spawn(move || {
                    let (mut from, mut to) = (from_server, to_client);
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        });
        cutting
    }
}

fn forward_to_server(mut client: TcpStream, mut server: TcpStream, armed: &AtomicBool, has_cut: &AtomicBool) {
    let mut bytes = vec![0; 65_536];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        let cuts = bytes[..count].windows(7).any(|window| window == b"COMMIT\0") && armed.swap(false, Ordering::SeqCst);
        if cuts {
            // The client's side first, so that no answer reaches it.
            let _ = client.shutdown(Shutdown::Both);
        }
        if server.write_all(&bytes[..count]).is_err() {
            break;
        }
        if cuts {
            std::thread::sleep(Duration::from_millis(300));
            has_cut.store(true, Ordering::SeqCst);
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_restored_after_an_adoption_with_an_unknown_outcome() {
    let (bao, database) = (Bao::start().await, postgres().database().await);
    let db = |url: &str| TestDatabase {
        url: Url::Postgres(crate::rig::postgres::parse_postgres_url(url)),
        folder: tempfile::tempdir().unwrap(),
    };
    let url = bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let cutting = CuttingProxy::before(&database);
    let through = db(&cutting.url);
    let db = db(&database);
    let (ending, wanted, staying) = (pod("ending"), pod("wanted"), pod("staying"));
    let before = LeaseManager::new(&db, &bao).await;
    let ends = before.read("app", PER_POD, &ending).await.unwrap();
    let back = before.read("app", PER_POD, &wanted).await.unwrap();
    let stays = before.read("app", PER_POD, &staying).await.unwrap();
    let left = before.database.clone();
    drop(before);
    left.close().await;

    let after = LeaseManager::new(&through, &bao).await;
    cutting.armed.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(12)).await;
    until("the adoption to be cut", async || cutting.has_cut.load(Ordering::SeqCst)).await;
    until("the recorded leases to be restored", async || after.active() == 3).await;
    after.stores.revoke_leases_of(&ending.identity());
    until("the lease of a pod that has ended to be revoked", async || !open(&url, &ends).await).await;
    let lease = after
        .list()
        .await
        .into_iter()
        .find(|lease| lease.held_by.as_ref().is_some_and(|by| by.identity() == wanted.identity()));
    let ended = after.stores.end_lease(&lease.unwrap().id, &request_of("admin")).await.unwrap();
    assert_eq!(ended, Some(EndedLease::Revoked(RevocationProgress::Done)));
    assert!(!open(&url, &back).await && open(&url, &stays).await);
    until("the records to be deleted", async || after.list().await.len() == 1).await;
    assert_eq!(after.active(), 1);
}

/// Assigns a lease of one process to another process directly in the database.
async fn reassigned(db: TestDatabase) {
    let bao = Bao::start().await;
    let url = bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let manager = LeaseManager::new(&db, &bao).await;
    let own = manager.read("app", PER_POD, &pod("own")).await.unwrap();
    let other = LeaseManager::new(&db, &bao).await;
    let credentials = other.read("app", PER_POD, &pod("other")).await.unwrap();
    let left = other.database.clone();
    drop(other);
    left.close().await;
    // The database change of an adoption.
    let owner = async |sql: &'static str| manager.database.run(sql, &[]).await.unwrap()[0].text(0).unwrap();
    let alive = owner("SELECT owner FROM leases WHERE acquired_at = (SELECT MIN(acquired_at) FROM leases)").await;
    let dead = owner("SELECT owner FROM leases WHERE acquired_at = (SELECT MAX(acquired_at) FROM leases)").await;
    assert_ne!(dead, alive);
    let params = [(&alive).into(), (&dead).into()];
    manager.database.run("UPDATE leases SET owner = $1 WHERE owner = $2", &params).await.unwrap();
    manager.database.run("DELETE FROM lease_owners WHERE owner = $1", &[(&dead).into()]).await.unwrap();
    until("the lease to be restored", async || manager.active() == 2).await;
    manager.stores.revoke_leases_of(&pod("other").identity());
    until("the lease to be revoked", async || !open(&url, &credentials).await).await;
    assert!(open(&url, &own).await);
    assert_eq!(manager.count(LeaseEventKind::Revoked), 1);
}

#[tokio::test]
async fn recorded_leases_missing_from_the_index_are_restored_on_sqlite() {
    reassigned(TestDatabase::sqlite()).await;
}

#[tokio::test]
async fn recorded_leases_missing_from_the_index_are_restored_on_postgres() {
    reassigned(TestDatabase::postgres().await).await;
}

#[tokio::test]
async fn a_lease_with_an_unreadable_record_is_listed_as_revocation_failed() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let before = LeaseManager::new(&db, &bao).await;
    before.read("app", PER_POD, &pod("one")).await.unwrap();
    before.stores.stop_leases().await;
    let (whole, id) = {
        let rows = before.database.run("SELECT sealed, id FROM leases", &[]).await.unwrap();
        (rows[0].text(0).unwrap(), rows[0].text(1).unwrap())
    };
    before.database.run("UPDATE leases SET sealed = 'AAAA'", &[]).await.unwrap();
    let database = before.database.clone();
    drop(before);
    database.close().await;

    let after = LeaseManager::new(&db, &bao).await;
    until("the lease to be adopted", async || {
        let rows =
            after.database.run("SELECT o.owner FROM lease_owners o JOIN leases l ON l.owner = o.owner", &[]).await;
        rows.unwrap().len() == 1
    })
    .await;
    let state = async || after.list().await[0].state.as_str();
    assert_eq!((state().await, after.active()), ("active", 0));
    let ended = after.stores.end_lease(&id, &request_of("admin")).await.unwrap();
    assert_eq!(ended, Some(EndedLease::Revoked(RevocationProgress::InProgress)));
    until("the revocation to be reported as failed", async || state().await == "revocation_failed").await;
    assert_eq!(after.events(), [(LeaseEventKind::Failed, Some("record_unreadable"))]);
    let given_up = "claviger_lease_revocations_total{outcome=\"given_up\",store=\"vault\"}";
    assert_eq!(after.counted(given_up), 1);

    // The row is repaired, for instance from a backup.
    after.database.run("UPDATE leases SET sealed = $1", &[(&whole).into()]).await.unwrap();
    until("the lease to be revoked", async || bao.leases_of("app").await == 0).await;
    until("the record to be deleted", async || after.list().await.is_empty()).await;
}
