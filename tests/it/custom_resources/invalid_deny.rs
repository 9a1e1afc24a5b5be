//! An invalid deny policy: a running replica keeps its last valid version, and a starting one does not serve what it denied.

use super::cluster::{PolicyCluster, cluster_policy, policy};
use super::walk::is_allowed;
use crate::rig::claviger::{Claviger, wait_until};
use crate::rig::http::request;
use serde_json::{Value, json};

fn deny(mut object: Value) -> Value {
    object["spec"]["effect"] = json!("deny");
    object["spec"].as_object_mut().unwrap().remove("secrets");
    object
}

fn started(cluster: &PolicyCluster) -> Claviger {
    let claviger = PolicyCluster::serve(cluster.config());
    wait_until("readiness", || request(claviger.ops, "GET", "/readyz", &[], b"").status == 200);
    claviger
}

#[tokio::test]
async fn an_invalid_deny_policy_denies_on_running_and_starting_replicas() {
    let cluster = PolicyCluster::exclusive().await;
    let pod = cluster.pod("ci/build-bot").await;
    let freeze = deny(cluster_policy("freeze", "site"));
    cluster.apply(&cluster_policy("site-builds", "site")).succeeded();
    cluster.apply(&freeze).succeeded();
    let running = started(&cluster);
    cluster.wait_for_reason(&freeze, "Accepted");
    assert!(!is_allowed(&running, &pod));

    let mut broken = freeze.clone();
    broken["spec"]["condition"] = json!("1 +");
    cluster.apply(&broken).succeeded();
    let message = cluster.wait_for_reason(&broken, "Invalid");
    assert!(message.contains("What generation 1 denied stays denied"), "{message}");
    let other = started(&cluster);
    assert!(!is_allowed(&running, &pod) && !is_allowed(&other, &pod));
    drop(running);

    // The new writer of statuses knows no valid version.
    wait_until("the message of the new writer", || cluster.condition(&broken).2.contains("It denies nevertheless"));
    // The readable parts apply: the policy now names another repo.
    broken["spec"]["repos"] = json!(["other"]);
    cluster.apply(&broken).succeeded();
    wait_until("the other repo", || is_allowed(&other, &pod));
    cluster.apply(&freeze).succeeded();
    cluster.wait_for_reason(&freeze, "Accepted");
    assert!(!is_allowed(&other, &pod));
    cluster.kubectl(&["delete", "ccpol", "freeze"]).succeeded();
    wait_until("the deletion", || is_allowed(&other, &pod));
}

#[tokio::test]
async fn an_invalid_deny_policy_of_a_tenant_denies_in_its_namespace_only() {
    let cluster = PolicyCluster::exclusive().await;
    let (member, stranger) = (cluster.pod("team-a/build-bot").await, cluster.pod("team-b/build-bot").await);
    for team in ["team-a", "team-b"] {
        cluster.apply(&policy(team, "site", "teams/{namespace}/{repo}/{branch}")).succeeded();
    }
    let mut broken = deny(policy("team-a", "freeze", ""));
    broken["spec"]["repos"] = json!(["["]);
    cluster.apply(&broken).succeeded();
    let claviger = started(&cluster);
    let message = cluster.wait_for_reason(&broken, "Invalid");
    assert!(message.contains("/spec/repos/0") && message.contains("It denies nevertheless"), "{message}");
    assert!(!is_allowed(&claviger, &member) && is_allowed(&claviger, &stranger));
    // An invalid allow policy denies nothing.
    let mut allow = policy("team-a", "freeze", "teams/{namespace}/{repo}/{branch}");
    allow["spec"]["repos"] = broken["spec"]["repos"].clone();
    cluster.apply(&allow).succeeded();
    wait_until("the allow", || is_allowed(&claviger, &member));
}
