//! Policies of namespaces: each applies to its own namespace, and reaches only the paths of its tenant.

use super::cluster::{PolicyCluster, cluster_policy, policy};
use super::walk::is_allowed;
use crate::rig::claviger::{run, wait_until};
use serde_json::json;
use std::fs;

#[tokio::test]
async fn a_policy_applies_to_its_own_namespace_only() {
    let cluster = PolicyCluster::exclusive().await;
    let (ours, theirs) = (cluster.pod("team-a/build-bot").await, cluster.pod("team-b/build-bot").await);
    let allow = policy("team-a", "site", "teams/{namespace}/{repo}/{branch}");
    cluster.apply(&allow).succeeded();
    let claviger = PolicyCluster::serve(cluster.config());
    cluster.wait_for_reason(&allow, "Accepted");
    assert!(is_allowed(&claviger, &ours) && !is_allowed(&claviger, &theirs));

    // A team's deny policy affects neither other teams nor the platform's policies for them.
    let mut everyone = cluster_policy("everyone", "site");
    everyone["spec"]["subjects"][0]["kubernetes"]["namespaces"] = json!(["team-*"]);
    cluster.apply(&everyone).succeeded();
    cluster.wait_for_reason(&everyone, "Accepted");
    assert!(is_allowed(&claviger, &ours) && is_allowed(&claviger, &theirs));
    let mut deny = policy("team-a", "no-builds", "");
    deny["spec"]["effect"] = json!("deny");
    deny["spec"].as_object_mut().unwrap().remove("secrets");
    deny["spec"]["repos"] = json!(["**"]);
    deny["spec"]["branches"] = json!(["**"]);
    cluster.apply(&deny).succeeded();
    cluster.wait_for_reason(&deny, "Accepted");
    assert!(!is_allowed(&claviger, &ours) && is_allowed(&claviger, &theirs));
    // The same from a namespace without a tenant: it grants nothing, so it may deny itself.
    let stranger = cluster.pod("stranger/build-bot").await;
    let mut subjects = everyone.clone();
    subjects["spec"]["subjects"][0]["kubernetes"]["namespaces"] = json!(["team-*", "stranger"]);
    cluster.apply(&subjects).succeeded();
    cluster.wait_for_reason(&subjects, "Accepted");
    wait_until("the wider policy to be active", || is_allowed(&claviger, &stranger));
    deny["metadata"]["namespace"] = json!("stranger");
    cluster.apply(&deny).succeeded();
    cluster.wait_for_reason(&deny, "Accepted");
    assert!(!is_allowed(&claviger, &stranger) && is_allowed(&claviger, &theirs));
}

#[tokio::test]
async fn a_path_that_leaves_the_ceiling_when_it_is_filled_in_is_refused_at_use() {
    let cluster = PolicyCluster::exclusive().await;
    let pod = cluster.pod("team-a/build-bot").await;
    let (within, escaping) =
        (policy("team-a", "within", "teams/team-a/{repo}/{branch}"), policy("team-a", "escaping", "teams/{repo}/x"));
    cluster.apply(&escaping).succeeded();
    let claviger = PolicyCluster::serve(cluster.config());
    // Some value could lead to team-a, so the policy is valid; the repo of this request does not.
    cluster.wait_for_reason(&escaping, "Accepted");
    assert!(!is_allowed(&claviger, &pod));
    cluster.apply(&within).succeeded();
    cluster.wait_for_reason(&within, "Accepted");
    assert!(is_allowed(&claviger, &pod));
}

/// Manifests are tested without a cluster as they are applied to one.
#[test]
fn manifests_of_both_kinds_are_tested_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let team = policy("team-a", "site", "teams/{namespace}/{repo}");
    write("team.yaml", &team.to_string());
    write("cluster.yaml", &cluster_policy("site", "site").to_string());
    let case = |namespace: &str, expect: serde_json::Value| {
        json!({
            "name": format!("{namespace} {expect}"), "repo": "site", "branch": "main",
            "caller": {"namespace": namespace, "serviceAccount": "build-bot"}, "expect": expect,
        })
    };
    let suite = json!({"cases": [
        case("team-a", json!({"allowed": true})), case("ci", json!({"allowed": true})), case("team-b", json!({"allowed": false})),
    ]});
    write("site.test.yaml", &suite.to_string());
    let suite = folder.path().join("site.test.yaml").display().to_string();
    let (code, stdout, stderr) = run(&["policy", "test", &suite]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
}
