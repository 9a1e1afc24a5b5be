//! Engines slower than the caller's timeout: repeated requests of a pod create one credential.

use super::*;
use crate::rig::fake::{Fake, Reaction, json};
use claviger::stores::ReadError;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// The calls that a fake engine received.
#[derive(Default)]
struct Engine {
    made: AtomicUsize,
    revoked: AtomicUsize,
}

/// A server whose roles take this long to create a credential: `creds/...` with a lease, `code/...` without one.
async fn engine(takes: Duration) -> (Fake, Arc<Engine>) {
    let engine = Arc::new(Engine::default());
    let counts = engine.clone();
    let fake = Fake::start(move |line| match line {
        line if line.contains("/mounts/") => json(r#"{"data":{"path":"database/","type":"database","options":null}}"#),
        line if line.contains("/database/") => {
            let number = counts.made.fetch_add(1, Ordering::SeqCst);
            let id = if line.contains("/creds/") { format!("database/creds/app/{number}") } else { String::new() };
            let values = format!(r#"{{"username":"u{number}","password":"p"}}"#);
            let body = format!(r#"{{"lease_id":"{id}","lease_duration":3600,"renewable":true,"data":{values}}}"#);
            Reaction::Delayed(takes, Box::new(json(&body)))
        }
        line if line.contains("/leases/revoke") => {
            counts.revoked.fetch_add(1, Ordering::SeqCst);
            Reaction::Answer("204 No Content".into(), String::new(), String::new())
        }
        _ => json(r#"{"data":{"ttl":0,"expire_time":null,"renewable":false}}"#),
    })
    .await;
    (fake, engine)
}

async fn manager(db: &TestDatabase, fake: &Fake) -> Arc<LeaseManager> {
    let manager = LeaseManager::with(db, &fake.address, "s.token", |vault| {
        vault.timeout = SECOND / 2;
        vault.make_timeout = 20 * SECOND;
    });
    Arc::new(manager.await)
}

/// Repeats a request that times out until it is answered. Returns the number of keys.
async fn read_repeatedly(manager: &LeaseManager, role: &str, mode: LeaseMode, pod: &Arc<Caller>) -> usize {
    let began = Instant::now();
    loop {
        let secret = SecretRef { store: "vault".into(), path: format!("database/{role}") };
        let request = RequestId::random();
        let granted = ReadRequest {
            secret: &secret,
            mode,
            caller: pod,
            min_lifetime: Duration::ZERO,
            write: None,
            pods_only: false,
            request_id: &request,
        };
        if let Ok(reading) = tokio::time::timeout(SECOND, manager.stores.read_for_caller(granted)).await {
            return reading.unwrap().secret.data.len();
        }
        assert!(began.elapsed() < 30 * SECOND);
        tokio::time::sleep(SECOND / 3).await;
    }
}

#[tokio::test]
async fn repeated_requests_that_end_early_create_one_credential() {
    let (fake, engine) = engine(3 * SECOND).await;
    let manager = manager(&TestDatabase::sqlite(), &fake).await;
    for (number, (role, mode)) in
        [("creds/app", PER_POD), ("creds/all", SHARED), ("code/app", PER_POD)].into_iter().enumerate()
    {
        assert_eq!(read_repeatedly(&manager, role, mode, &pod("one")).await, 2, "{role}");
        assert_eq!(engine.made.load(Ordering::SeqCst), number + 1, "{role}");
    }
    let other = read_repeatedly(&manager, "creds/app", PER_POD, &pod("other")).await;
    assert_eq!((other, engine.made.load(Ordering::SeqCst)), (2, 4), "another pod gets its own credential");
    assert_eq!(engine.revoked.load(Ordering::SeqCst), 0, "every credential was delivered");
}

#[tokio::test]
async fn an_undelivered_secret_is_delivered_once_to_the_repeated_request() {
    let (fake, engine) = engine(2 * SECOND).await;
    let manager = manager(&TestDatabase::sqlite(), &fake).await;
    let one = pod("one");
    for (number, role) in ["creds/app", "code/app"].into_iter().enumerate() {
        let secret = SecretRef { store: "vault".into(), path: format!("database/{role}") };
        let request = RequestId::random();
        let granted = || ReadRequest {
            secret: &secret,
            mode: PER_POD,
            caller: &one,
            min_lifetime: Duration::ZERO,
            write: None,
            pods_only: false,
            request_id: &request,
        };
        assert!(tokio::time::timeout(SECOND, manager.stores.read_for_caller(granted())).await.is_err(), "{role}");
        tokio::time::sleep(3 * SECOND).await;
        let began = Instant::now();
        assert!(manager.stores.read_for_caller(granted()).await.is_ok());
        assert!(began.elapsed() < SECOND, "{role}: the credential was waiting");
        assert_eq!(engine.made.load(Ordering::SeqCst), number + 1, "{role}");
    }
    read_repeatedly(&manager, "code/app", PER_POD, &one).await;
    assert_eq!(engine.made.load(Ordering::SeqCst), 3, "a secret without a lease is delivered once");
}

#[tokio::test]
async fn only_undelivered_leases_are_revoked() {
    let (fake, engine) = engine(SECOND).await;
    let manager = manager(&TestDatabase::sqlite(), &fake).await;
    assert!(tokio::time::timeout(SECOND / 2, manager.read("app", PER_POD, &pod("gone"))).await.is_err());
    manager.read("app", PER_POD, &pod("here")).await.unwrap();
    until("the credentials to be created", async || manager.active() == 2).await;
    tokio::time::sleep(25 * SECOND).await;
    assert_eq!(
        (engine.revoked.load(Ordering::SeqCst), manager.active()),
        (0, 2),
        "an undelivered lease is kept for a while"
    );
    until("the lease to be revoked", async || engine.revoked.load(Ordering::SeqCst) == 1).await;
    until("the record to be deleted", async || manager.list().await.len() == 1).await;
    assert_eq!(manager.active(), 1);
    assert!(manager.events().contains(&(LeaseEventKind::Revoked, Some("untaken"))), "{:?}", manager.events());
    assert_eq!(engine.made.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn concurrent_creations_of_a_caller_and_calls_to_a_hung_engine_are_limited() {
    let (fake, engine) = engine(Duration::from_mins(10)).await;
    let db = TestDatabase::sqlite();
    let manager = LeaseManager::with(&db, &fake.address, "s.token", |vault| vault.make_timeout = SECOND / 2).await;
    for _ in 0..10 {
        let read = manager.read("app", PER_POD, &pod("one")).await;
        assert_eq!(read.err(), Some(FetchError::Store(ReadError::Unavailable)));
    }
    let made = engine.made.load(Ordering::SeqCst);
    assert!((5..=8).contains(&made), "{made} calls: five, and some after pauses");

    let manager = Arc::new(
        LeaseManager::with(&TestDatabase::sqlite(), &fake.address, "s.token", |vault| {
            vault.make_timeout = 10 * SECOND;
        })
        .await,
    );
    let before = engine.made.load(Ordering::SeqCst);
    let mut readers = tokio::task::JoinSet::new();
    for number in 0..50 {
        let manager = manager.clone();
        readers.spawn(async move { manager.read(&format!("role{number}"), PER_POD, &pod("greedy")).await.is_err() });
    }
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(engine.made.load(Ordering::SeqCst) - before, 16);
    let _ = tokio::time::timeout(SECOND, manager.read("role0", PER_POD, &pod("honest"))).await;
    assert_eq!(engine.made.load(Ordering::SeqCst) - before, 17, "another pod has its own limit");
}
