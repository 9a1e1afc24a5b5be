//! A deny policy that is broken: a replica that runs keeps its last good version, and one that starts does not serve what it denied.

use super::cluster::{PolicyCluster, cluster_policy, policy};
use super::walk::may;
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
async fn a_broken_deny_denies_on_replicas_that_run_and_on_replicas_that_start() {
    let cluster = PolicyCluster::alone().await;
    let pod = cluster.pod("ci/build-bot").await;
    let freeze = deny(cluster_policy("freeze", "site"));
    cluster.apply(&cluster_policy("site-builds", "site")).good();
    cluster.apply(&freeze).good();
    let running = started(&cluster);
    cluster.becomes(&freeze, "Accepted");
    assert!(!may(&running, &pod));

    let mut broken = freeze.clone();
    broken["spec"]["condition"] = json!("1 +");
    cluster.apply(&broken).good();
    let message = cluster.becomes(&broken, "Invalid");
    assert!(message.contains("What generation 1 denied stays denied"), "{message}");
    let other = started(&cluster);
    assert!(!may(&running, &pod) && !may(&other, &pod));
    drop(running);

    // The new writer of statuses knows no good version.
    wait_until("its own message", || cluster.condition(&broken).2.contains("It denies nevertheless"));
    // What can be read of it holds: it speaks of another repo now.
    broken["spec"]["repos"] = json!(["other"]);
    cluster.apply(&broken).good();
    wait_until("the other repo", || may(&other, &pod));
    cluster.apply(&freeze).good();
    cluster.becomes(&freeze, "Accepted");
    assert!(!may(&other, &pod));
    cluster.kubectl(&["delete", "ccpol", "freeze"]).good();
    wait_until("the deletion", || may(&other, &pod));
}

#[tokio::test]
async fn a_broken_deny_of_a_tenant_denies_its_own_namespace_alone() {
    let cluster = PolicyCluster::alone().await;
    let (member, stranger) = (cluster.pod("team-a/build-bot").await, cluster.pod("team-b/build-bot").await);
    for team in ["team-a", "team-b"] {
        cluster.apply(&policy(team, "site", "teams/{namespace}/{repo}/{branch}")).good();
    }
    let mut broken = deny(policy("team-a", "freeze", ""));
    broken["spec"]["repos"] = json!(["["]);
    cluster.apply(&broken).good();
    let claviger = started(&cluster);
    let message = cluster.becomes(&broken, "Invalid");
    assert!(message.contains("/spec/repos/0") && message.contains("It denies nevertheless"), "{message}");
    assert!(!may(&claviger, &member) && may(&claviger, &stranger));
    // A broken allow denies nothing.
    let mut allow = policy("team-a", "freeze", "teams/{namespace}/{repo}/{branch}");
    allow["spec"]["repos"] = broken["spec"]["repos"].clone();
    cluster.apply(&allow).good();
    wait_until("the allow", || may(&claviger, &member));
}
