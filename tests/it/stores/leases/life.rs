//! Lifetime of leases: renewed while they are needed, and ended at their maximum.

use super::*;

#[tokio::test]
async fn a_lease_is_renewed_while_its_pod_runs_up_to_its_maximum_lifetime() {
    let (bao, place) = (Bao::start().await, Place::sqlite());
    let url = bao.enable_database().await;
    bao.database_role("app", "6s", "18s").await;
    let keeper = Keeper::new(&place, &bao).await;
    let one = pod("one");
    let first = keeper.read("app", PER_POD, &one).await.unwrap();
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(open(&url, &first).await, "it was made for six seconds");
    assert!(keeper.count(LeaseEventKind::Renewed) >= 1, "{:?}", keeper.events());
    assert!(keeper.counted("claviger_lease_renewals_total{outcome=\"ok\",store=\"vault\"}") >= 1);
    until("the end of the first lease", async || !open(&url, &first).await).await;
    let second = keeper.read("app", PER_POD, &one).await.unwrap();
    assert_ne!(second, first);
    assert!(open(&url, &second).await);
    until("it to be known as over", async || keeper.events().contains(&(LeaseEventKind::Revoked, Some("expired"))))
        .await;
    assert_eq!(keeper.count(LeaseEventKind::Failed), 0, "{:?}", keeper.events());
}

#[tokio::test]
async fn a_lease_shorter_than_the_ticket_is_renewed_replaced_or_limits_the_ticket() {
    let (bao, place) = (Bao::start().await, Place::sqlite());
    bao.enable_database().await;
    bao.database_role("long", "20s", "1h").await;
    bao.database_role("short", "4s", "4s").await;
    let keeper = Keeper::new(&place, &bao).await;
    let one = pod("one");
    let life = Duration::from_secs(19);
    let (first, left) = keeper.read_for("long", PER_POD, &one, life).await.unwrap();
    assert!((18.0..=20.0).contains(&left), "{left}");
    tokio::time::sleep(Duration::from_secs(11)).await;
    let (second, left) = keeper.read_for("long", PER_POD, &one, life).await.unwrap();
    assert!(left > 17.0, "{left}");
    assert_eq!((second == first, keeper.count(LeaseEventKind::Renewed)), (true, 1), "renewed, as it can be");

    let (first, left) = keeper.read_for("short", PER_POD, &one, life).await.unwrap();
    assert!((2.0..=4.0).contains(&left), "{left}: the ticket is to be bounded");
    let (same, _) = keeper.read_for("short", PER_POD, &one, life).await.unwrap();
    assert_eq!(first, same, "more is not to be had");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (other, left) = keeper.read_for("short", PER_POD, &one, life).await.unwrap();
    assert!(other != first && left > 2.0, "{left}: made anew before the old one dies");
}

#[tokio::test]
async fn a_lease_of_a_caller_without_a_pod_is_not_renewed() {
    let (bao, place) = (Bao::start().await, Place::sqlite());
    let url = bao.enable_database().await;
    bao.database_role("app", "4s", "1h").await;
    let keeper = Keeper::new(&place, &bao).await;
    let job = |jti: &str| {
        let claims = [("jti".to_owned(), jti.into())].into_iter().collect();
        Arc::new(Caller { workload: None, subject: "repo:a".into(), claims, ..Caller::clone(&pod("one")) })
    };
    let first = keeper.read("app", PER_POD, &job("1")).await.unwrap();
    assert_eq!(keeper.read("app", PER_POD, &job("1")).await.unwrap(), first);
    assert_ne!(keeper.read("app", PER_POD, &job("2")).await.unwrap(), first, "another token is another caller");
    until("its end", async || !open(&url, &first).await).await;
    until("both to be known as over", async || keeper.list().await.is_empty()).await;
    assert_eq!(keeper.count(LeaseEventKind::Renewed), 0, "nobody says whether the job is still there");
}

#[tokio::test]
async fn at_the_limit_the_least_recently_used_lease_is_revoked() {
    let (bao, place) = (Bao::start().await, Place::sqlite());
    let url = bao.enable_database().await;
    bao.database_role("app", "1h", "2h").await;
    let keeper = Keeper::new(&place, &bao).await;
    let first = keeper.read("app", PER_POD, &pod("first")).await.unwrap();
    let second = keeper.read("app", PER_POD, &pod("second")).await.unwrap();
    assert_eq!(keeper.read("app", PER_POD, &pod("first")).await.unwrap(), first);
    for number in 2..=100 {
        keeper.read("app", PER_POD, &pod(&format!("p{number}"))).await.unwrap();
    }
    until("the one too many to be taken back", async || !open(&url, &second).await).await;
    assert!(open(&url, &first).await);
    assert!(keeper.events().contains(&(LeaseEventKind::Revoked, Some("evicted"))));
}
