//! Credentials created for a pod: they work as long as the pod exists, whatever happens to Claviger.

use crate::rig::bao::until;
use crate::rig::http::Answer;
use crate::rig::installation::{Installation, Plan};
use crate::rig::postgres::postgres;
use serde_json::{Value, json};

/// The broker's permissions, and no more.
const ACL: &str = r#"
path "homelab/data/*" { capabilities = ["read"] }
path "database/creds/*" { capabilities = ["read"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
"#;

/// A policy for the credentials of a role, and the URL of the database that they open.
async fn planned(mode: &str) -> (Plan, String) {
    let plan = Plan::new().await;
    let url = plan.bao.enable_database().await;
    plan.bao.database_role("app", "1h", "2h").await;
    plan.bao.policy("claviger", ACL).await;
    let subjects = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}]);
    let secrets = json!([{"store": "vault", "path": "database/creds/app", "lease": mode}]);
    plan.policy("db", json!({"subjects": subjects, "repos": ["app"], "branches": ["main"], "secrets": secrets}));
    (plan, url)
}

/// User and password of a downloaded file.
fn credentials(download: &Answer) -> (String, String) {
    let text = download.text();
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("export {key}='"))).unwrap();
        line.trim_end_matches('\'').to_owned()
    };
    (value("username"), value("password"))
}

async fn opens(url: &str, (user, password): &(String, String)) -> bool {
    postgres().lets_in(url, user, password).await
}

fn of_type<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == kind).collect()
}

/// Kills the broker and starts it again on its files.
fn crash(rig: Installation, config: &Value) -> Installation {
    let Installation { kube, bao, mut claviger } = rig;
    claviger.signal("KILL");
    claviger.wait(std::time::Duration::from_secs(5));
    let folder = std::mem::replace(&mut claviger.folder, tempfile::tempdir().unwrap());
    drop(claviger);
    let claviger = crate::rig::claviger::Claviger::serve_in(folder, config.clone());
    Installation { kube, bao, claviger }
}

#[tokio::test]
async fn each_pods_credentials_end_with_it_even_where_claviger_crashed_meanwhile() {
    let (plan, url) = planned("perPod").await;
    let config = plan.config.clone();
    let rig = plan.start();
    let (one, other) = (rig.pod("ci/build-bot").await.pod, rig.pod("ci/build-bot").await.pod);
    let ask = |rig: &Installation, token: &str| {
        let answer = rig.claviger.ask(token, "repo=app&branch=main");
        assert_eq!(answer.status, 201, "{answer:?}\n{}", rig.claviger.log());
        credentials(&rig.claviger.download(&crate::rig::claviger::download_path(&answer)))
    };
    let (of_one, of_other) = (ask(&rig, &one.token), ask(&rig, &other.token));
    assert_ne!(of_one, of_other);
    assert_eq!(ask(&rig, &one.token), of_one, "the same pod, the same credentials");
    assert!(opens(&url, &of_one).await && opens(&url, &of_other).await);

    let events = rig.claviger.audit_events();
    let acquired = of_type(&events, "lease.acquired");
    assert_eq!(acquired.len(), 2);
    assert_eq!(acquired[0]["caller"]["pod"]["uid"], one.uid.as_str());
    assert_eq!(acquired[0]["secrets"][0]["path"], "database/creds/app");
    let issued = of_type(&events, "ticket.issued")[0];
    assert_eq!(issued["secrets"][0]["version"], acquired[0]["secrets"][0]["version"], "which lease it was");
    assert!(acquired[0]["seq"].as_i64() < issued["seq"].as_i64(), "on record before it is handed out");
    let log = format!("{}{}", rig.claviger.log(), rig.claviger.stdout());
    for secret in [&of_one.1, &of_one.0, &"database/creds/app/".to_owned()] {
        assert!(!log.contains(secret.as_str()), "in the log");
    }

    let rig = crash(rig, &config);
    one.is_deleted().await;
    other.enters("Running").await;
    tokio::time::sleep(std::time::Duration::from_secs(15)).await;
    until("the credentials of a pod that is gone to be adopted and taken back", async || !opens(&url, &of_one).await)
        .await;
    assert!(opens(&url, &of_other).await, "its pod still runs");
    other.enters("Succeeded").await;
    until("those of a pod that is done to be taken back", async || !opens(&url, &of_other).await).await;
    until("both to be on record", async || of_type(&rig.claviger.audit_events(), "lease.revoked").len() == 2).await;
    for event in of_type(&rig.claviger.audit_events(), "lease.revoked") {
        assert_eq!((&event["outcome"], &event["reason"]), (&json!("ok"), &json!("pod_ended")));
    }
}

#[tokio::test]
async fn a_graceful_stop_leaves_builds_their_credentials_and_a_shared_one_is_for_all() {
    let (plan, url) = planned("shared").await;
    let config = plan.config.clone();
    let rig = plan.start();
    let (one, other) = (rig.pod("ci/build-bot").await, rig.pod("ci/build-bot").await);
    let of_one = credentials(&one.asks("app", "main").download());
    assert_eq!(credentials(&other.asks("app", "main").download()), of_one);
    assert_eq!(of_type(&rig.claviger.audit_events(), "lease.acquired").len(), 1);
    assert_eq!(rig.claviger.count("claviger_leases_active{store=\"vault\"}"), 1);
    drop((one, other));

    let Installation { kube, bao, mut claviger } = rig;
    claviger.signal("TERM");
    assert!(claviger.wait(std::time::Duration::from_secs(20)).success());
    assert!(opens(&url, &of_one).await, "the builds go on");
    let folder = std::mem::replace(&mut claviger.folder, tempfile::tempdir().unwrap());
    drop(claviger);
    let claviger = crate::rig::claviger::Claviger::serve_in(folder, config);
    let rig = Installation { kube, bao, claviger };
    until("it to be adopted", async || rig.claviger.count("claviger_leases_active{store=\"vault\"}") == 1).await;
    assert!(opens(&url, &of_one).await);
    assert!(of_type(&rig.claviger.audit_events(), "lease.revoked").is_empty());
}
