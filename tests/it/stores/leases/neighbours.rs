//! A caller with the maximum number of leases, or with leases that end slowly, and its effect on others.

use super::*;
use crate::rig::fake::{Fake, Reaction, json};
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_with_too_many_leases_loses_its_own() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    let url = bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let manager = LeaseManager::with(&db, &bao.address, &bao.root, |vault| vault.cache.max_entries = 20).await;
    let honest: Vec<_> = (0..8).map(|number| pod(&format!("honest{number}"))).collect();
    let mut theirs = Vec::new();
    for pod in &honest {
        theirs.push(manager.read("app", PER_POD, pod).await.unwrap());
    }
    for number in 0..60 {
        manager.read("app", PER_POD, &pod_in("playground", &format!("greedy{number}"))).await.unwrap();
    }
    until("the excess leases to be revoked", async || bao.leases_of("app").await == 20).await;
    for (pod, credentials) in honest.iter().zip(&theirs) {
        assert!(open(&url, credentials).await, "a lease of another caller was revoked");
        assert_eq!(&manager.read("app", PER_POD, pod).await.unwrap(), credentials);
    }
    assert_eq!(manager.active(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_revocations_do_not_delay_other_leases() {
    let revoked = Arc::new(AtomicUsize::new(0));
    let (counter, made) = (revoked.clone(), AtomicUsize::new(0));
    // The fake does not see the body of a revocation, so a slow one is recognised by its number.
    let fake = Fake::start(move |line| {
        for mount in ["slow", "quick"] {
            if line.contains("/mounts/") && line.contains(&format!("/{mount}/")) {
                return json(&format!(r#"{{"data":{{"path":"{mount}/","type":"database","options":null}}}}"#));
            }
            if line.contains(&format!("/{mount}/creds/")) {
                let number = made.fetch_add(1, Ordering::SeqCst);
                return json(&format!(
                    r#"{{"lease_id":"{mount}/creds/r/{number}","lease_duration":3600,"renewable":true,"data":{{"username":"u","password":"p"}}}}"#
                ));
            }
        }
        if line.contains("/leases/revoke") {
            // Forty of them are slow; the one after the first eight is not.
            let number = counter.fetch_add(1, Ordering::SeqCst);
            let done = Reaction::Answer("204 No Content".into(), String::new(), String::new());
            return if number == 8 { done } else { Reaction::Delayed(Duration::from_secs(4), Box::new(done)) };
        }
        json(r#"{"data":{"ttl":0,"expire_time":null,"renewable":false}}"#)
    })
    .await;
    let manager = LeaseManager::with_token(&TestDatabase::sqlite(), &fake.address, "s.token").await;
    let (honest, hostile) = (pod("honest"), pod_in("playground", "hostile"));
    for number in 0..40 {
        manager.read(&format!("slow/creds/r{number}"), PER_POD, &hostile).await.unwrap();
    }
    manager.read("quick/creds/r", PER_POD, &honest).await.unwrap();
    manager.stores.revoke_leases_of(&hostile.identity());
    until("the slow revocations to be running", async || revoked.load(Ordering::SeqCst) == 8).await;
    let began = Instant::now();
    manager.stores.revoke_leases_of(&honest.identity());
    until("the quick lease to be revoked", async || manager.count(LeaseEventKind::Revoked) == 1).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let left: Vec<_> = manager.list().await.into_iter().filter(|lease| lease.path.starts_with("quick/")).collect();
    assert_eq!(left.len(), 0);
}
