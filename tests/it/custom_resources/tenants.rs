//! Policies of namespaces: each speaks of its own, and reaches what its tenant has.

use super::cluster::{PolicyCluster, cluster_policy, policy};
use super::walk::may;
use crate::rig::claviger::{run, wait_until};
use serde_json::json;
use std::fs;

#[tokio::test]
async fn a_policy_speaks_of_its_own_namespace_alone() {
    let cluster = PolicyCluster::alone().await;
    let (ours, theirs) = (cluster.pod("team-a/build-bot").await, cluster.pod("team-b/build-bot").await);
    let allow = policy("team-a", "site", "teams/{namespace}/{repo}/{branch}");
    cluster.apply(&allow).good();
    let claviger = PolicyCluster::serve(cluster.config());
    cluster.becomes(&allow, "Accepted");
    assert!(may(&claviger, &ours) && !may(&claviger, &theirs));

    // A deny of one team is nothing to another one, nor to what the platform lets others have.
    let mut everyone = cluster_policy("everyone", "site");
    everyone["spec"]["subjects"][0]["kubernetes"]["namespaces"] = json!(["team-*"]);
    cluster.apply(&everyone).good();
    cluster.becomes(&everyone, "Accepted");
    assert!(may(&claviger, &ours) && may(&claviger, &theirs));
    let mut deny = policy("team-a", "no-builds", "");
    deny["spec"]["effect"] = json!("deny");
    deny["spec"].as_object_mut().unwrap().remove("secrets");
    deny["spec"]["repos"] = json!(["**"]);
    deny["spec"]["branches"] = json!(["**"]);
    cluster.apply(&deny).good();
    cluster.becomes(&deny, "Accepted");
    assert!(!may(&claviger, &ours) && may(&claviger, &theirs));
    // The same from a namespace without a tenant: it grants nothing, so it may deny itself.
    let stranger = cluster.pod("stranger/build-bot").await;
    let mut subjects = everyone.clone();
    subjects["spec"]["subjects"][0]["kubernetes"]["namespaces"] = json!(["team-*", "stranger"]);
    cluster.apply(&subjects).good();
    cluster.becomes(&subjects, "Accepted");
    wait_until("the wider policy", || may(&claviger, &stranger));
    deny["metadata"]["namespace"] = json!("stranger");
    cluster.apply(&deny).good();
    cluster.becomes(&deny, "Accepted");
    assert!(!may(&claviger, &stranger) && may(&claviger, &theirs));
}

#[tokio::test]
async fn a_path_that_leaves_the_ceiling_when_it_is_filled_in_is_refused_at_use() {
    let cluster = PolicyCluster::alone().await;
    let pod = cluster.pod("team-a/build-bot").await;
    let (within, escaping) =
        (policy("team-a", "within", "teams/team-a/{repo}/{branch}"), policy("team-a", "escaping", "teams/{repo}/x"));
    cluster.apply(&escaping).good();
    let claviger = PolicyCluster::serve(cluster.config());
    // Some value could lead to team-a, so it is good; the repo of this request does not.
    cluster.becomes(&escaping, "Accepted");
    assert!(!may(&claviger, &pod));
    cluster.apply(&within).good();
    cluster.becomes(&within, "Accepted");
    assert!(may(&claviger, &pod));
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
    let (code, printed, said) = run(&["policy", "test", &suite]);
    assert_eq!(code, Some(0), "{printed}{said}");
}
