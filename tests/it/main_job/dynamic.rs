//! Dynamic credentials of a pod are valid while the pod exists, also if Claviger crashes.

use crate::rig::bao::until;
use crate::rig::claviger::events_of_type;
use crate::rig::http::Answer;
use crate::rig::installation::{Installation, InstallationSetup};
use crate::rig::postgres::postgres;
use claviger::model::clock::{Clock as _, SystemClock};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The minimal permissions of the broker.
const ACL: &str = r#"
path "homelab/data/*" { capabilities = ["read"] }
path "database/creds/*" { capabilities = ["read"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
"#;

/// An installation with a policy for the credentials of a role. Returns also the URL of their database.
async fn setup_with_role(mode: &str) -> (InstallationSetup, String) {
    let setup = InstallationSetup::new().await;
    let url = setup.bao.enable_database().await;
    setup.bao.database_role("app", "1h", "2h").await;
    setup.bao.policy("claviger", ACL).await;
    let subjects = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}]);
    let secrets = json!([{"store": "vault", "path": "database/creds/app", "lease": mode}]);
    setup.policy("db", json!({"subjects": subjects, "repos": ["app"], "branches": ["main"], "secrets": secrets}));
    (setup, url)
}

/// The user and password in a downloaded file.
fn credentials(download: &Answer) -> (String, String) {
    let text = download.text();
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("export {key}='"))).unwrap();
        line.trim_end_matches('\'').to_owned()
    };
    (value("username"), value("password"))
}

async fn accepts_credentials(url: &str, (user, password): &(String, String)) -> bool {
    postgres().accepts_login(url, user, password).await
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
async fn credentials_end_with_their_pod_also_after_a_crash_of_claviger() {
    let (setup, url) = setup_with_role("perPod").await;
    let config = setup.config.clone();
    let rig = setup.start();
    let (one, other) = (rig.pod("ci/build-bot").await.pod, rig.pod("ci/build-bot").await.pod);
    let ask = |rig: &Installation, token: &str| {
        let answer = rig.claviger.ask(token, "repo=app&branch=main");
        assert_eq!(answer.status, 201, "{answer:?}\n{}", rig.claviger.log());
        credentials(&rig.claviger.download(&crate::rig::claviger::download_path(&answer)))
    };
    let (of_one, of_other) = (ask(&rig, &one.token), ask(&rig, &other.token));
    assert_ne!(of_one, of_other);
    assert_eq!(ask(&rig, &one.token), of_one, "the same pod gets the same credentials");
    assert!(accepts_credentials(&url, &of_one).await && accepts_credentials(&url, &of_other).await);

    let events = rig.claviger.audit_events();
    let acquired = events_of_type(&events, "lease.acquired");
    assert_eq!(acquired.len(), 2);
    assert_eq!(acquired[0]["caller"]["pod"]["uid"], one.uid.as_str());
    assert_eq!(acquired[0]["secrets"][0]["path"], "database/creds/app");
    let issued = events_of_type(&events, "ticket.issued")[0];
    assert_eq!(
        issued["secrets"][0]["version"], acquired[0]["secrets"][0]["version"],
        "the event of the ticket names the lease"
    );
    assert!(acquired[0]["seq"].as_i64() < issued["seq"].as_i64(), "the lease is recorded before the ticket");
    let log = format!("{}{}", rig.claviger.log(), rig.claviger.stdout());
    for secret in [&of_one.1, &of_one.0, &"database/creds/app/".to_owned()] {
        assert!(!log.contains(secret.as_str()), "in the log");
    }

    let rig = crash(rig, &config);
    one.delete().await;
    other.set_phase("Running").await;
    tokio::time::sleep(std::time::Duration::from_secs(15)).await;
    until("the credentials of a deleted pod to be revoked", async || !accepts_credentials(&url, &of_one).await).await;
    assert!(accepts_credentials(&url, &of_other).await, "its pod is still running");
    other.set_phase("Succeeded").await;
    until("the credentials of a finished pod to be revoked", async || !accepts_credentials(&url, &of_other).await)
        .await;
    until("both revocations to be recorded", async || {
        events_of_type(&rig.claviger.audit_events(), "lease.revoked").len() == 2
    })
    .await;
    for event in events_of_type(&rig.claviger.audit_events(), "lease.revoked") {
        assert_eq!((&event["outcome"], &event["reason"]), (&json!("ok"), &json!("pod_ended")));
    }
}

#[tokio::test]
async fn a_ticket_expires_with_its_first_secret_also_if_other_reads_take_long() {
    let (setup, _url) = setup_with_role("perPod").await;
    setup.bao.database_role("short", "8s", "8s").await;
    setup.bao.slow_database_role("slow", 4).await;
    let subjects = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}]);
    let secrets = ["short", "slow"].map(|role| json!({"store": "vault", "path": format!("database/creds/{role}")}));
    setup.policy("two", json!({"subjects": subjects, "repos": ["two"], "branches": ["main"], "secrets": secrets}));
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await;
    let asked_at = SystemClock.now();
    let answer = pod.asks("two", "main").answer;
    assert_eq!(answer.status, 201, "{answer:?}\n{}", rig.claviger.log());
    let took = SystemClock.now().duration_since(asked_at).as_secs_f64();
    assert!(took > 3.5, "{took}: the other secret is made slowly");
    let body: Value = serde_json::from_str(&answer.text()).unwrap();
    let expires_at: Timestamp = body["expiresAt"].as_str().unwrap().parse().unwrap();
    let life = expires_at.duration_since(asked_at).as_secs_f64();
    // The credential was requested at most a second after the request, and lives for 8 s.
    assert!((7.0..=9.0).contains(&life), "{life}");
}

#[tokio::test]
async fn a_graceful_stop_leaves_builds_their_credentials_and_a_shared_one_is_for_all() {
    let (setup, url) = setup_with_role("shared").await;
    let config = setup.config.clone();
    let rig = setup.start();
    let (one, other) = (rig.pod("ci/build-bot").await, rig.pod("ci/build-bot").await);
    let of_one = credentials(&one.asks("app", "main").download());
    assert_eq!(credentials(&other.asks("app", "main").download()), of_one);
    assert_eq!(events_of_type(&rig.claviger.audit_events(), "lease.acquired").len(), 1);
    assert_eq!(rig.claviger.count("claviger_leases_active{store=\"vault\"}"), 1);
    drop((one, other));

    let Installation { kube, bao, mut claviger } = rig;
    claviger.signal("TERM");
    assert!(claviger.wait(std::time::Duration::from_secs(20)).success());
    assert!(accepts_credentials(&url, &of_one).await, "the credentials stay valid");
    let folder = std::mem::replace(&mut claviger.folder, tempfile::tempdir().unwrap());
    drop(claviger);
    let claviger = crate::rig::claviger::Claviger::serve_in(folder, config);
    let rig = Installation { kube, bao, claviger };
    until("the lease to be adopted", async || rig.claviger.count("claviger_leases_active{store=\"vault\"}") == 1).await;
    assert!(accepts_credentials(&url, &of_one).await);
    assert!(events_of_type(&rig.claviger.audit_events(), "lease.revoked").is_empty());
}
