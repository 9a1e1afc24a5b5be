//! Failures of leases: stores that do not revoke, databases that cannot record, invalid answers.

use super::*;
use crate::rig::fake::{Fake, Reaction, json, status, valid_answer};
use crate::rig::postgres::{host_and_port, parse_postgres_url};
use crate::rig::tcp_relay::TcpRelay;
use claviger::stores::{EndedLease, ReadError, RevocationProgress};
use serde_json::json;
use std::sync::atomic::AtomicUsize;

#[tokio::test]
async fn a_failed_revocation_is_listed_and_retried_without_end() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    let url = bao.enable_database().await;
    bao.database_role_that_owns_a_table("owner").await;
    let manager = LeaseManager::new(&db, &bao).await;
    let (one, admin) = (pod("one"), request_of("admin"));
    let credentials = manager.read("owner", PER_POD, &one).await.unwrap();
    let id = manager.list().await.remove(0).id;
    assert_eq!(
        manager.stores.end_lease(&id, &admin).await.unwrap(),
        Some(EndedLease::Revoked(RevocationProgress::InProgress))
    );
    assert_eq!((manager.list().await[0].state.as_str(), manager.active()), ("revoking", 0));
    assert_ne!(manager.read("owner", PER_POD, &one).await.unwrap(), credentials, "the lease is not given out again");
    let state = async |manager: &LeaseManager| {
        let lease = manager.list().await.into_iter().find(|lease| lease.id == id);
        lease.map(|lease| lease.state.as_str())
    };
    // Six attempts: after 1, 2, 4, 8 and 16 seconds, plus up to a quarter.
    tokio::time::sleep(Duration::from_secs(28)).await;
    until("six tries", async || state(&manager).await == Some("revocation_failed")).await;
    let tries = "claviger_store_requests_total{operation=\"revoke\",outcome=\"misconfigured\",store=\"vault\"}";
    assert_eq!(manager.counted(tries), 6);
    let failed = (LeaseEventKind::Failed, Some("revocation_failed"));
    assert_eq!(manager.events().iter().filter(|event| **event == failed).count(), 1, "{:?}", manager.events());

    manager.stores.stop_leases().await;
    drop(manager);
    let manager = LeaseManager::new(&db, &bao).await;
    until("the lease to be adopted", async || manager.counted(tries) >= 1).await;
    assert_eq!(state(&manager).await, Some("revocation_failed"), "not forgotten");
    let (user, _) = &credentials;
    postgres().execute_in(&url, format!("DROP TABLE \"t_{user}\"")).await;
    assert_eq!(
        manager.stores.end_lease(&id, &admin).await.unwrap(),
        Some(EndedLease::Revoked(RevocationProgress::Done))
    );
    assert!(!open(&url, &credentials).await);
    assert_eq!(state(&manager).await, None);
    assert_eq!(manager.stores.end_lease(&id, &admin).await.unwrap(), None, "the lease is no longer known");
}

#[tokio::test]
async fn a_lease_that_cannot_be_recorded_is_not_issued() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let manager = LeaseManager::new(&db, &bao).await;
    manager.recorder.refuses.store(true, Ordering::SeqCst);
    assert_eq!(manager.read("app", PER_POD, &pod("one")).await.err(), Some(FetchError::Unrecorded));
    until("the lease to be revoked", async || bao.leases_of("app").await == 0).await;
    until("the record to be deleted", async || manager.list().await.is_empty()).await;
    manager.recorder.refuses.store(false, Ordering::SeqCst);
    assert!(manager.read("app", PER_POD, &pod("one")).await.is_ok());
    assert_eq!(bao.leases_of("app").await, 1);

    manager.database.run("DROP TABLE leases", &[]).await.unwrap();
    assert_eq!(manager.read("app", PER_POD, &pod("other")).await.err(), Some(FetchError::Unrecorded));
    until("the lease to be revoked", async || bao.leases_of("app").await == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_revoked_once_while_the_database_cannot_be_reached() {
    // More than are revoked at the same time.
    const PODS: usize = 12;
    let (bao, database) = (Bao::start().await, postgres().database().await);
    bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let server = host_and_port(&database);
    let relay = TcpRelay::to(server.rsplit_once(':').unwrap().1.parse().unwrap());
    let through = database.replace(&server, &format!("127.0.0.1:{}", relay.port));
    let url = Url::Postgres(parse_postgres_url(&through));
    let db = TestDatabase { url, folder: tempfile::tempdir().unwrap() };
    let manager = LeaseManager::new(&db, &bao).await;
    let pods: Vec<_> = (0..PODS).map(|number| pod(&format!("p{number}"))).collect();
    for pod in &pods {
        manager.read("app", PER_POD, pod).await.unwrap();
    }
    relay.disconnect();
    let started = std::time::Instant::now();
    for pod in &pods {
        manager.stores.revoke_leases_of(&pod.identity());
    }
    until("the leases to be revoked", async || bao.leases_of("app").await == 0).await;
    // An attempt to use the database takes up to four seconds.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}: the database delays revocations", started.elapsed());
    // Longer than two attempts and the pause after a failure.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let calls = "claviger_store_requests_total{operation=\"revoke\",outcome=\"ok\",store=\"vault\"}";
    assert_eq!(manager.counted(calls), PODS as u64, "each lease once");
    assert_eq!(manager.count(LeaseEventKind::Revoked), 0, "the records are left");

    relay.reconnect();
    until("the records to be deleted", async || manager.list().await.is_empty()).await;
    until("the events", async || manager.count(LeaseEventKind::Revoked) == PODS).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let revoked = manager.events().into_iter().filter(|(kind, _)| *kind == LeaseEventKind::Revoked);
    assert_eq!(revoked.collect::<Vec<_>>(), vec![(LeaseEventKind::Revoked, Some("pod_ended")); PODS]);
    assert_eq!((manager.counted(calls), manager.count(LeaseEventKind::Failed)), (PODS as u64, 0));
}

#[tokio::test]
async fn a_lease_with_an_invalid_duration_is_revoked() {
    const MOUNT: &str = r#"{"data":{"path":"database/","type":"database","options":{}}}"#;
    for duration in ["0", "-1", "2147483648", "\"x\"", "1.5", "null", ""] {
        let (revoked, db) = (Arc::new(AtomicUsize::new(0)), TestDatabase::sqlite());
        let (counter, member) = (
            revoked.clone(),
            if duration.is_empty() { String::new() } else { format!("\"lease_duration\":{duration},") },
        );
        let fake = Fake::start(move |line| match line {
            line if line.contains("/mounts/") => json(MOUNT),
            line if line.contains("/creds/") => json(&format!(
                r#"{{"lease_id":"database/creds/app/x",{member}"renewable":true,"data":{{"username":"u","password":"p"}}}}"#
            )),
            line if line.contains("/leases/revoke") => {
                counter.fetch_add(1, Ordering::SeqCst);
                Reaction::Answer("204 No Content".into(), String::new(), String::new())
            }
            _ => json(r#"{"data":{"ttl":0,"expire_time":null,"renewable":false}}"#),
        })
        .await;
        let manager = LeaseManager::with_token(&db, &fake.address, "s.token").await;
        let read = manager.read("app", PER_POD, &pod("one")).await;
        assert_eq!(read.err(), Some(FetchError::Store(ReadError::Unavailable)), "{duration}");
        until("the lease to be revoked", async || revoked.load(Ordering::SeqCst) == 1).await;
        until("the record to be deleted", async || manager.list().await.is_empty()).await;
        assert_eq!(manager.count(LeaseEventKind::Acquired), 0, "{duration}");
    }
}

#[tokio::test]
async fn a_dynamic_secret_is_created_if_its_mount_is_not_cached() {
    // The maximum number of cached mounts.
    const MOUNTS: usize = 1024;
    let db = TestDatabase::sqlite();
    let fake = Fake::start(|line| {
        let path = line.split(' ').nth(1).unwrap();
        if let Some(below) = path.strip_prefix("/v1/sys/internal/ui/mounts/") {
            let mount = below.split('/').next().unwrap();
            let engine = if mount == "database" { "database" } else { "kv" };
            return json(&json!({"data": {"path": format!("{mount}/"), "type": engine, "options": {}}}).to_string());
        }
        match path {
            path if path.starts_with("/v1/database/creds/") => json(
                r#"{"lease_id":"database/creds/app/x","lease_duration":3600,"renewable":true,"data":{"username":"u","password":"p"}}"#,
            ),
            path if path.starts_with("/v1/kv") => json(r#"{"data":{"K":"v"}}"#),
            _ => json(r#"{"data":{"ttl":0,"expire_time":null,"renewable":false}}"#),
        }
    })
    .await;
    let manager = LeaseManager::with_token(&db, &fake.address, "s.token").await;
    for number in 0..MOUNTS {
        let (secret, request) = (format!("kv{number}/x"), RequestId::random());
        let secret = SecretRef { store: "vault".into(), path: secret };
        manager.stores.read(&secret, &request).await.unwrap();
    }
    assert!(manager.read("app", PER_POD, &pod("one")).await.is_ok());
}

#[tokio::test]
async fn role_errors_are_reported_and_a_broken_connection_creates_nothing_twice() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    bao.policy("narrow", r#"path "database/creds/other" { capabilities = ["read"] }"#).await;
    let manager = LeaseManager::new(&db, &bao).await;
    let one = pod("one");
    assert_eq!(manager.read("none", PER_POD, &one).await.err(), Some(FetchError::Store(ReadError::Misconfigured)));
    let narrow =
        LeaseManager::with_token(&TestDatabase::sqlite(), &bao.address, &bao.token(&["narrow"], "1h").await).await;
    assert_eq!(narrow.read("app", PER_POD, &one).await.err(), Some(FetchError::Store(ReadError::Forbidden)));
    assert_eq!(bao.leases_of("app").await, 0);

    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let fake = Fake::start(move |line| {
        if line.contains("/mounts/") {
            return json(r#"{"data":{"path":"database/","type":"database","options":{}}}"#);
        }
        if line.contains("/creds/") {
            counter.fetch_add(1, Ordering::SeqCst);
            return Reaction::HangUp;
        }
        json(r#"{"data":{"ttl":0,"expire_time":null,"renewable":false}}"#)
    })
    .await;
    let manager = LeaseManager::with_token(&db, &fake.address, "s.token").await;
    assert_eq!(manager.read("app", PER_POD, &one).await.err(), Some(FetchError::Store(ReadError::Unavailable)));
    assert_eq!(calls.load(Ordering::SeqCst), 1, "each call creates a credential");
}

#[tokio::test]
async fn internal_mounts_are_not_read_in_any_namespace() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    assert_eq!(bao.call(reqwest::Method::POST, "sys/namespaces/team", "").await.0, 200);
    let manager = LeaseManager::new(&db, &bao).await;
    let one = pod("one");
    for path in [
        "team/sys/mounts",
        "team/auth/token/lookup-self",
        "team/identity/entity/id/x",
        "team/cubbyhole/x",
        "sys/mounts",
        "auth/token/lookup-self",
    ] {
        let (secret, request) = (SecretRef { store: "vault".into(), path: path.into() }, RequestId::random());
        let granted = ReadRequest {
            secret: &secret,
            mode: PER_POD,
            caller: &one,
            min_lifetime: Duration::ZERO,
            write: None,
            pods_only: false,
            request_id: &request,
        };
        let read = manager.stores.read_for_caller(granted).await;
        assert_eq!(read.err(), Some(FetchError::Store(ReadError::Misconfigured)), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_survive_a_restart_of_the_server_under_load() {
    let (mut bao, db) = (Bao::start_durable().await, TestDatabase::sqlite());
    let url = bao.enable_database().await;
    bao.database_role("app", "1m", "1h").await;
    let manager = Arc::new(LeaseManager::new(&db, &bao).await);
    let pods: Arc<Vec<_>> = Arc::new((0..8).map(|number| pod(&format!("p{number}"))).collect());
    let mut before = Vec::new();
    for pod in pods.iter() {
        before.push(manager.read("app", PER_POD, pod).await.unwrap());
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..8 {
        let (manager, pods, stop) = (manager.clone(), pods.clone(), stop.clone());
        workers.spawn(async move {
            let mut failures = 0;
            while !stop.load(Ordering::SeqCst) {
                failures += usize::from(manager.read("app", PER_POD, &pods[worker]).await.is_err());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            failures
        });
    }
    bao.stop();
    assert_eq!(
        manager.read("app", PER_POD, &pod("late")).await.err(),
        Some(FetchError::Store(ReadError::Unavailable)),
        "no credential is created while the server is down"
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    bao.restart().await;
    bao.unseal().await;
    until("a credential to be created again", async || manager.read("app", PER_POD, &pod("late")).await.is_ok()).await;
    manager.stores.revoke_leases_of(&pods[0].identity());
    until("an earlier lease to be revoked", async || !open(&url, &before[0]).await).await;
    stop.store(true, Ordering::SeqCst);
    let failures: usize = workers.join_all().await.into_iter().sum();
    assert_eq!(failures, 0, "a pod with a lease got no secret");
    assert!(open(&url, &before[1]).await);
}

/// Only a fake server answers late enough: a new token is assumed to be valid for five seconds.
#[tokio::test]
async fn a_token_that_created_a_lease_after_a_403_is_not_used_for_other_calls() {
    let (logins, creations) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let tokens_of_reads = Arc::new(Mutex::new(Vec::new()));
    let seen = tokens_of_reads.clone();
    let fake = Fake::start_by_head(move |head| {
        let line = head.lines().next().unwrap();
        if line.contains("/login") {
            let number = logins.fetch_add(1, Ordering::SeqCst) + 1;
            let auth = json!({"client_token": format!("s.{number}"), "lease_duration": 600, "num_uses": 100});
            return json(&json!({ "auth": auth }).to_string());
        }
        if line.contains("/mounts/database/") {
            return json(r#"{"data":{"path":"database/","type":"database"}}"#);
        }
        if line.contains("/v1/database/creds/app") {
            return match creations.fetch_add(1, Ordering::SeqCst) {
                0 => Reaction::Delayed(Duration::from_millis(5200), Box::new(status("403 Forbidden"))),
                _ => json(
                    r#"{"lease_id":"database/creds/app/x","lease_duration":600,"data":{"username":"u","password":"p"}}"#,
                ),
            };
        }
        if line.contains("/data/") {
            let token = head.lines().find_map(|line| line.strip_prefix("x-vault-token: ")).unwrap();
            seen.lock().unwrap().push(token.to_owned());
        }
        valid_answer(line)
    })
    .await;
    let db = TestDatabase::sqlite();
    let token_file = db.folder.path().join("token");
    let manager = LeaseManager::with(&db, &fake.address, "a.b.c", |vault| {
        vault.auth = VaultAuthMethod::Kubernetes { mount: "kubernetes".into(), role: "claviger".into(), token_file };
        vault.make_timeout = Duration::from_secs(10);
    })
    .await;
    let secret = SecretRef { store: "vault".into(), path: "homelab/a".into() };
    manager.stores.read(&secret, &RequestId::random()).await.unwrap();
    manager.read("app", PER_POD, &pod("one")).await.unwrap();
    manager.stores.read(&secret, &RequestId::random()).await.unwrap();
    let tokens = tokens_of_reads.lock().unwrap().clone();
    assert_eq!(tokens[0], tokens[1], "the token of the lease must keep its uses");
}
