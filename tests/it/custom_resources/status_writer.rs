//! Statuses are written by one replica at a time, and only when they change.

use super::cluster::{PolicyCluster, cluster_policy};
use crate::rig::claviger::wait_until;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn holder(cluster: &PolicyCluster) -> String {
    let said = cluster.kubectl(&["get", "lease", "claviger-policy-status", "-n", "claviger", "-o", "json"]);
    if !said.ok {
        return String::new();
    }
    let lease: Value = serde_json::from_str(&said.out).unwrap();
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

fn version(cluster: &PolicyCluster, name: &str) -> String {
    cluster.kubectl(&["get", "ccpol", name, "-o", "jsonpath={.metadata.resourceVersion}"]).succeeded()
}

#[tokio::test]
async fn one_replica_writes_and_another_one_takes_over() {
    let cluster = PolicyCluster::exclusive().await;
    let first_policy = cluster_policy("first", "site");
    cluster.apply(&first_policy).succeeded();
    let mut first = PolicyCluster::serve(cluster.config());
    cluster.wait_for_reason(&first_policy, "Accepted");
    let held = holder(&cluster);
    assert!(held.starts_with("claviger-"), "{held}");
    let second = PolicyCluster::serve(cluster.config());
    wait_until("the second", || second.count("claviger_ready") == 1);
    let managers = ["get", "ccpol", "first", "--show-managed-fields", "-o", "json"];
    let found: Value = serde_json::from_str(&cluster.kubectl(&managers).succeeded()).unwrap();
    let managed = found["metadata"]["managedFields"].as_array().unwrap();
    let ours = managed.iter().find(|entry| entry["subresource"] == "status").unwrap();
    assert_eq!((&ours["manager"], &ours["operation"]), (&json!("claviger"), &json!("Apply")));

    // No replica writes while nothing changes.
    let before = version(&cluster, "first");
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(version(&cluster, "first"), before);
    }
    assert_eq!(holder(&cluster), held);

    // A writer that leaves gives the lease back.
    first.signal("TERM");
    first.wait(Duration::from_secs(20));
    let second_policy = cluster_policy("second", "site");
    cluster.apply(&second_policy).succeeded();
    cluster.wait_for_reason(&second_policy, "Accepted");
    assert_ne!(holder(&cluster), held);
    assert_eq!(version(&cluster, "first"), before, "a correct status is not written again");
}

#[tokio::test]
async fn an_overwritten_status_is_written_again() {
    let cluster = PolicyCluster::exclusive().await;
    let object = cluster_policy("p", "site");
    cluster.apply(&object).succeeded();
    let _claviger = PolicyCluster::serve(cluster.config());
    cluster.wait_for_reason(&object, "Accepted");
    let patch = json!({"status": {"conditions": [{
        "type": "Ready", "status": "False", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
        "reason": "Mallory", "message": "x",
    }]}});
    let patch = patch.to_string();
    cluster.kubectl(&["patch", "ccpol", "p", "--subresource=status", "--type=merge", "-p", &patch]).succeeded();
    assert_eq!(cluster.condition(&object).1, "Mallory");
    cluster.wait_for_reason(&object, "Accepted");
}
