//! The definitions: the committed ones are generated, the API server accepts them, and their rules refuse invalid policies.

use super::cluster::{PolicyCluster, cluster_policy, policy};
use crate::rig::claviger::run;
use serde_json::{Value, json};
use std::fs;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/claviger/crds/claviger.dev.yaml");

#[test]
fn the_committed_definitions_are_those_of_the_types() {
    let (code, stdout, _) = run(&["crds"]);
    assert_eq!(code, Some(0));
    // Compared by content: the writer chooses the line breaks.
    let read = |text: &str| serde_saphyr::from_multiple::<Value>(text).unwrap();
    let stale =
        "charts/claviger/crds/claviger.dev.yaml is stale: claviger crds > charts/claviger/crds/claviger.dev.yaml";
    assert!(read(&stdout) == read(&fs::read_to_string(COMMITTED).unwrap()), "{stale}");
}

/// A valid policy with another value at a JSON pointer.
fn changed(place: &str, value: Value) -> Value {
    let mut object = cluster_policy("rules", "site");
    if let Some(there) = object.pointer_mut(place) {
        *there = value;
    } else {
        let (parent, field) = place.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value;
    }
    object
}

#[tokio::test]
async fn the_api_server_refuses_what_needs_no_server_of_ours_to_be_seen() {
    let cluster = PolicyCluster::exclusive().await;
    for (place, value, complaint) in [
        ("/spec/secrets", json!([]), "an allow policy grants at least one secret"),
        ("/spec/effect", json!("deny"), "a deny policy grants no secrets"),
        ("/spec/effect", json!("maybe"), "Unsupported value"),
        ("/spec/repos", json!([]), "should have at least 1 items"),
        ("/spec/subjects/0", json!({}), "a subject has exactly one of kubernetes and oidc"),
        (
            "/spec/subjects/0/oidc",
            json!({"issuer": "github", "claims": {"a": "b"}}),
            "a subject has exactly one of kubernetes and oidc",
        ),
        ("/spec/attest", json!({}), "attest has repo, branch or both"),
        ("/spec/secrets/0/path", json!("sys/policy"), "a path must not begin with sys"),
        ("/spec/secrets/0/path", json!("{repo}/x"), "its first segment is literal"),
        ("/spec/secrets/0/path", json!("a//b"), "a path has no empty segment"),
        ("/spec/secretz", json!([]), "secretz"),
        ("/spec/ticket", json!({"bindTo": "luck"}), "Unsupported value"),
    ] {
        let refused = cluster.apply(&changed(place, value)).failed();
        assert!(refused.contains(complaint), "{place}: {refused}");
    }
    // The twins.
    for (place, value) in [
        ("/spec/description", json!("x")),
        ("/spec/effect", json!("allow")),
        ("/spec/attest", json!({"repo": "'site'"})),
        ("/spec/secrets/0/path", json!("system/policy")),
        ("/spec/secrets/0/path", json!("a/{repo}")),
        ("/spec/secrets/0/write", json!({"a": 1, "b": {"c": ["{repo}"]}})),
        ("/spec/subjects/0", json!({"oidc": {"issuer": "github", "claims": {"a": "b*", "c": {"is": "[bot]"}}}})),
    ] {
        cluster.apply(&changed(place, value)).succeeded();
    }
    let mut deny = changed("/spec/effect", json!("deny"));
    deny["spec"].as_object_mut().unwrap().remove("secrets");
    cluster.kubectl(&["delete", "ccpol", "--all"]).succeeded();
    cluster.apply(&deny).succeeded();
    cluster.apply(&policy("claviger", "rules", "teams/x")).succeeded();
}

#[tokio::test]
async fn kubectl_explains_the_language() {
    let cluster = PolicyCluster::exclusive().await;
    let explained = cluster.kubectl(&["explain", "clusterpolicies.spec.secrets"]).succeeded();
    for word in ["store", "path", "Path template", "required", "lease", "perPod"] {
        assert!(explained.contains(word), "{word}: {explained}");
    }
    let explained = cluster.kubectl(&["explain", "policies.spec.subjects.kubernetes.namespaces"]).succeeded();
    assert!(explained.contains("the namespace of the policy applies"), "{explained}");
}
