//! Lifetime of leases: renewed while they are needed, and ended at their maximum.

use super::*;

#[tokio::test]
async fn a_lease_is_renewed_while_its_pod_runs_up_to_its_maximum_lifetime() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    let url = bao.enable_database().await;
    bao.database_role("app", "6s", "18s").await;
    let manager = LeaseManager::new(&db, &bao).await;
    let one = pod("one");
    let first = manager.read("app", PER_POD, &one).await.unwrap();
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(open(&url, &first).await, "the credentials are valid for six seconds");
    assert!(manager.count(LeaseEventKind::Renewed) >= 1, "{:?}", manager.events());
    assert!(manager.counted("claviger_lease_renewals_total{outcome=\"ok\",store=\"vault\"}") >= 1);
    until("the end of the first lease", async || !open(&url, &first).await).await;
    let second = manager.read("app", PER_POD, &one).await.unwrap();
    assert_ne!(second, first);
    assert!(open(&url, &second).await);
    until("the lease to be recorded as expired", async || {
        manager.events().contains(&(LeaseEventKind::Revoked, Some("expired")))
    })
    .await;
    assert_eq!(manager.count(LeaseEventKind::Failed), 0, "{:?}", manager.events());
}

#[tokio::test]
async fn a_lease_shorter_than_the_ticket_is_renewed_replaced_or_limits_the_ticket() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    bao.enable_database().await;
    bao.database_role("long", "20s", "1h").await;
    bao.database_role("short", "4s", "4s").await;
    let manager = LeaseManager::new(&db, &bao).await;
    let one = pod("one");
    let life = Duration::from_secs(19);
    let (first, left) = manager.read_for("long", PER_POD, &one, life).await.unwrap();
    assert!((18.0..=20.0).contains(&left), "{left}");
    tokio::time::sleep(Duration::from_secs(11)).await;
    let (second, left) = manager.read_for("long", PER_POD, &one, life).await.unwrap();
    assert!(left > 17.0, "{left}");
    assert_eq!((second == first, manager.count(LeaseEventKind::Renewed)), (true, 1), "the lease is renewed");

    let (first, left) = manager.read_for("short", PER_POD, &one, life).await.unwrap();
    assert!((2.0..=4.0).contains(&left), "{left}: the lease limits the ticket");
    let (same, _) = manager.read_for("short", PER_POD, &one, life).await.unwrap();
    assert_eq!(first, same, "the lease cannot live longer");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (other, left) = manager.read_for("short", PER_POD, &one, life).await.unwrap();
    assert!(other != first && left > 2.0, "{left}: replaced before the old lease expires");
}

#[tokio::test]
async fn a_lease_of_a_caller_without_a_pod_is_not_renewed() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    let url = bao.enable_database().await;
    bao.database_role("app", "4s", "1h").await;
    let manager = LeaseManager::new(&db, &bao).await;
    let job = |jti: &str| {
        let claims = [("jti".to_owned(), jti.into())].into_iter().collect();
        Arc::new(Caller { workload: None, subject: "repo:a".into(), claims, ..Caller::clone(&pod("one")) })
    };
    let first = manager.read("app", PER_POD, &job("1")).await.unwrap();
    assert_eq!(manager.read("app", PER_POD, &job("1")).await.unwrap(), first);
    assert_ne!(manager.read("app", PER_POD, &job("2")).await.unwrap(), first, "another token is another caller");
    until("its end", async || !open(&url, &first).await).await;
    until("both leases to be removed", async || manager.list().await.is_empty()).await;
    assert_eq!(manager.count(LeaseEventKind::Renewed), 0, "nothing reports whether the job still runs");
}

#[tokio::test]
async fn at_the_limit_the_least_recently_used_lease_is_revoked() {
    let (bao, db) = (Bao::start().await, TestDatabase::sqlite());
    let url = bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let manager = LeaseManager::new(&db, &bao).await;
    let first = manager.read("app", PER_POD, &pod("first")).await.unwrap();
    let second = manager.read("app", PER_POD, &pod("second")).await.unwrap();
    assert_eq!(manager.read("app", PER_POD, &pod("first")).await.unwrap(), first);
    for number in 2..=100 {
        manager.read("app", PER_POD, &pod(&format!("p{number}"))).await.unwrap();
    }
    until("the excess lease to be revoked", async || !open(&url, &second).await).await;
    assert!(open(&url, &first).await);
    assert!(manager.events().contains(&(LeaseEventKind::Revoked, Some("evicted"))));
}
