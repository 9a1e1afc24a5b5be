//! A pod that sends requests at its limit under a failing mount, and builds beside it that need other secrets of
//! the same store.

use crate::rig::bao::until;
use crate::rig::installation::{BuildPod, Installation, InstallationSetup};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// The requests that one caller may make in a second.
const LIMIT: u32 = 50;

/// A policy that gives pods of a namespace one repo's secret.
fn policy(setup: &InstallationSetup, repo: &str, namespace: &str, path: &str) {
    let subjects = json!([{"kubernetes": {"namespaces": [namespace], "serviceAccounts": ["build-bot"]}}]);
    let secrets = json!([{"store": "vault", "path": path}]);
    setup.policy(repo, json!({"subjects": subjects, "repos": [repo], "branches": ["**"], "secrets": secrets}));
}

/// Sends this many first requests for optional secrets of branches; returns how many succeeded.
fn honest(pod: &BuildPod, round: &str, asks: usize) -> usize {
    let mut answered = 0;
    for number in 0..asks {
        answered += usize::from(pod.asks("honest", &format!("feature/{round}-{number}")).answer.status == 201);
        std::thread::sleep(Duration::from_millis(20));
    }
    answered
}

/// Sends requests at a caller's limit until stopped. Returns the number of answers other than
/// a ticket.
fn at_the_limit(pod: &BuildPod, repo: &str, stop: &AtomicBool) -> usize {
    let refused = AtomicUsize::new(0);
    let number = AtomicUsize::new(0);
    // Several at once, so that slow answers do not reduce the rate.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let branch = format!("random/{}", number.fetch_add(1, Ordering::SeqCst));
                    let status = pod.asks(repo, &branch).answer.status;
                    refused.fetch_add(usize::from(status != 201), Ordering::SeqCst);
                    std::thread::sleep(Duration::from_secs(8) / LIMIT);
                }
            });
        }
    });
    refused.into_inner()
}

/// The share of successful honest requests beside a hostile pod at its limit, in percent.
fn share_beside(rig: &Installation, honest_pod: &BuildPod, neighbour: &BuildPod, repo: &str) -> usize {
    let alone = honest(honest_pod, &format!("{repo}-alone"), 50);
    let stop = AtomicBool::new(false);
    let (beside, refused) = std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| at_the_limit(neighbour, repo, &stop));
        std::thread::sleep(Duration::from_secs(2));
        let beside = honest(honest_pod, &format!("{repo}-beside"), 200);
        stop.store(true, Ordering::SeqCst);
        (beside, neighbour.join().unwrap())
    });
    assert_eq!(alone, 50, "without a hostile pod every request succeeds\n{}", rig.claviger.log());
    assert!(refused > 0, "the hostile pod is refused");
    beside * 100 / 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_at_its_limit_under_a_limited_mount_costs_others_nothing() {
    let setup = InstallationSetup::new().await;
    setup.bao.enable_kv_v2("teamx").await;
    setup.bao.limit_rate("teamx", 2).await;
    let acl = r#"path "homelab/data/*" { capabilities = ["read"] } path "teamx/data/*" { capabilities = ["read"] }"#;
    setup.bao.policy("claviger", acl).await;
    policy(&setup, "honest", "ci", "homelab/{repo}/{branch}");
    policy(&setup, "teamx", "playground", "teamx/{branch}");
    let rig = setup.start();
    let (honest, neighbour) = (rig.pod("ci/build-bot").await, rig.pod("playground/build-bot").await);
    let share = share_beside(&rig, &honest, &neighbour, "teamx");
    assert!(share >= 95, "{share} %\n{}", rig.claviger.log());
    let suspended = |scope: &str| {
        rig.claviger.count(&format!("claviger_store_calls_suspended_total{{scope=\"{scope}\",store=\"vault\"}}"))
    };
    assert_eq!(suspended("server"), 0);
    assert!(suspended("mount") > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_role_costs_others_nothing_and_makes_one_credential() {
    let mut setup = InstallationSetup::new().await;
    setup.bao.enable_database().await;
    setup.bao.slow_database_role("stuck", 600).await;
    setup.bao.slow_database_role("slow", 4).await;
    let acl = r#"
path "homelab/data/*" { capabilities = ["read"] }
path "database/creds/*" { capabilities = ["read"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
"#;
    setup.bao.policy("claviger", acl).await;
    setup.config["stores"][0]["vault"]["makeTimeout"] = json!("20s");
    setup.config["limits"] = json!({"requestTimeout": "3s"});
    policy(&setup, "honest", "ci", "homelab/{repo}/{branch}");
    policy(&setup, "app", "ci", "database/creds/slow");
    policy(&setup, "stuck", "playground", "database/creds/stuck");
    let rig = setup.start();
    let (honest, neighbour) = (rig.pod("ci/build-bot").await, rig.pod("playground/build-bot").await);
    let share = share_beside(&rig, &honest, &neighbour, "stuck");
    assert!(share >= 95, "{share} %\n{}", rig.claviger.log());

    // Requests end before the credential is created, and `fetch` retries: one credential is created.
    let folder = tempfile::tempdir().unwrap();
    let (token, file) = (folder.path().join("token"), folder.path().join("env"));
    std::fs::write(&token, &honest.pod.token).unwrap();
    let server = format!("http://{}", rig.claviger.api);
    let output = file.display().to_string();
    let arguments = ["--repo", "app", "--branch", "main", "--timeout", "20s", "--output", &output];
    let ran = crate::fetch::fetch(&server, &token, &arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}\n{}", rig.claviger.log());
    assert!(std::fs::read_to_string(&file).unwrap().contains("export password="));
    assert_eq!(rig.bao.leases_of("slow").await, 1);
    until("the lease to be held", async || rig.claviger.count("claviger_leases_active{store=\"vault\"}") == 1).await;
    let events = rig.claviger.audit_events();
    assert_eq!(events.iter().filter(|event| event["type"] == "lease.acquired").count(), 1);
    assert!(events.iter().any(|event| event["reason"] == "timeout"), "no request ended early");
}
