//! The status of an inactive policy; and an invalid policy does not affect valid ones.

use super::cluster::{PolicyCluster, cluster_policy, policy};
use super::walk::is_allowed;
use crate::rig::claviger::{wait_until, write_policies};
use serde_json::{Value, json};

#[tokio::test]
async fn each_reason_is_in_the_status_and_valid_policies_are_active() {
    let cluster = PolicyCluster::exclusive().await;
    for namespace in ["team-a/build-bot", "stranger/build-bot"] {
        cluster.pod(namespace).await;
    }
    let pod = cluster.pod("ci/build-bot").await;
    let with = |mut object: Value, place: &str, value: Value| {
        let (parent, field) = place.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value;
        object
    };
    let mut deny = cluster_policy("deny", "banned");
    deny["spec"]["effect"] = json!("deny");
    deny["spec"].as_object_mut().unwrap().remove("secrets");
    let oidc = json!([{"oidc": {"issuer": "github", "claims": {"a": "b"}}}]);
    let pods = json!([{"kubernetes": {"namespaces": ["team-a"], "serviceAccounts": ["build-bot"]}}]);
    let cases = [
        (cluster_policy("good", "site"), "Accepted", "The policy is in force."),
        (deny, "Accepted", "The policy is in force."),
        (policy("team-a", "good", "teams/{namespace}/x"), "Accepted", ""),
        (with(cluster_policy("glob", "[x"), "/spec/condition", json!("1 +")), "Invalid", "/spec/repos/0: "),
        (with(cluster_policy("cel", "site"), "/spec/condition", json!("1 +")), "Invalid", "/spec/condition: "),
        (
            with(cluster_policy("store", "site"), "/spec/secrets/0/store", json!("nowhere")),
            "UnknownStore",
            "/spec/secrets/0/store: ",
        ),
        (
            with(cluster_policy("issuer", "site"), "/spec/subjects", oidc.clone()),
            "Invalid",
            "/spec/subjects/0/oidc/issuer: ",
        ),
        (cluster_policy("outside", "site"), "BeyondCeiling", "/spec/secrets/0/path: "),
        (policy("team-a", "outside", "teams/team-b/x"), "BeyondCeiling", "/spec/secrets/0/path: "),
        (policy("stranger", "any", "teams/stranger/x"), "BeyondCeiling", "No entry of policies.tenants"),
        (with(policy("team-a", "oidc", "teams/team-a"), "/spec/subjects", oidc), "Invalid", "/spec/subjects/0/oidc: "),
        (
            with(policy("team-a", "pods", "teams/team-a"), "/spec/subjects", pods),
            "Invalid",
            "/spec/subjects/0/kubernetes/namespaces: ",
        ),
        (cluster_policy("filed", "site"), "NameConflict", "A policy file has"),
    ];
    for (object, ..) in &cases {
        let object = match object["metadata"]["name"].as_str() {
            Some("outside") if object["kind"] == "ClusterPolicy" => {
                with(object.clone(), "/spec/secrets/0/path", json!("elsewhere/x"))
            }
            _ => object.clone(),
        };
        cluster.apply(&object).succeeded();
    }
    let mut config = cluster.config();
    config["policies"]["ceiling"] =
        json!([{"store": "local", "pathPrefix": "homelab"}, {"store": "local", "pathPrefix": "teams"}]);
    let folder = tempfile::tempdir().unwrap();
    let filed = cluster_policy("filed", "filed")["spec"].clone();
    write_policies(folder.path(), &[("filed", filed)]);
    config["policies"]["directory"] = json!(folder.path());
    let claviger = PolicyCluster::serve(config);
    for (object, reason, message) in &cases {
        let told = cluster.condition(object);
        assert_eq!(told.1, *reason, "{told:?} {object:#}");
        assert_eq!(told.0 == "True", *reason == "Accepted", "{told:?}");
        assert!(told.2.starts_with(message), "{told:?}");
    }
    assert!(is_allowed(&claviger, &pod), "the valid policy is active");
    // All faults of one object are reported.
    let (.., message) = cluster.condition(&cases[3].0);
    assert!(message.contains("; /spec/condition: "), "{message}");
    let waited = cluster.kubectl(&["wait", "--for=condition=Ready", "ccpol/cel", "--timeout=1s"]);
    assert!(!waited.ok, "{waited:?}");
    for (reason, count) in
        [("Accepted", 3), ("Invalid", 5), ("UnknownStore", 1), ("BeyondCeiling", 3), ("NameConflict", 1)]
    {
        let series = format!("claviger_policy_resources{{cluster=\"cluster\",reason=\"{reason}\"}}");
        assert_eq!(claviger.count(&series), count, "{reason}");
    }
    // The faults are corrected.
    let mended = cluster_policy("cel", "site");
    cluster.kubectl(&["delete", "ccpol", "cel"]).succeeded();
    cluster.apply(&mended).succeeded();
    cluster.wait_for_reason(&mended, "Accepted");
}

#[tokio::test]
async fn a_name_that_the_api_has_taken_is_a_conflict_until_it_is_free() {
    let cluster = PolicyCluster::exclusive().await;
    let pod = cluster.pod("ci/build-bot").await;
    cluster
        .kube
        .grant_cluster_role("admins", "alice", &[json!({"resources": ["policies", "decisions"], "verbs": ["*"]})])
        .await;
    let admin = cluster.pod("admins/alice").await;
    let claviger = PolicyCluster::serve(cluster.config());
    wait_until("readiness", || claviger.count("claviger_ready") == 1);
    let bearer = format!("Bearer {}", admin.token);
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let body = json!({"spec": cluster_policy("p", "other")["spec"]}).to_string();
    assert_eq!(claviger.send("PUT", "/v1/policies/p", &headers, body.as_bytes()).status, 201);
    let object = cluster_policy("p", "site");
    cluster.apply(&object).succeeded();
    assert_eq!(cluster.condition(&object).1, "NameConflict");
    assert!(!is_allowed(&claviger, &pod));
    // The stored policy can still be written and deleted.
    assert_eq!(claviger.send("PUT", "/v1/policies/p", &headers, body.as_bytes()).status, 200);
    assert_eq!(claviger.send("DELETE", "/v1/policies/p", &headers, b"").status, 204);
    cluster.wait_for_reason(&object, "Accepted");
    assert!(is_allowed(&claviger, &pod));
}

#[tokio::test]
async fn an_invalid_deny_policy_still_denies() {
    let cluster = PolicyCluster::exclusive().await;
    let pod = cluster.pod("ci/build-bot").await;
    let allow = cluster_policy("allow", "site");
    let mut deny = cluster_policy("deny", "site");
    deny["spec"]["effect"] = json!("deny");
    deny["spec"].as_object_mut().unwrap().remove("secrets");
    let claviger = PolicyCluster::serve(cluster.config());
    cluster.apply(&allow).succeeded();
    cluster.wait_for_reason(&allow, "Accepted");
    assert!(is_allowed(&claviger, &pod));
    cluster.apply(&deny).succeeded();
    cluster.wait_for_reason(&deny, "Accepted");
    assert!(!is_allowed(&claviger, &pod));
    deny["spec"]["condition"] = json!("1 +");
    cluster.apply(&deny).succeeded();
    let message = cluster.wait_for_reason(&deny, "Invalid");
    assert!(message.contains("What generation 1 denied stays denied"), "{message}");
    assert!(!is_allowed(&claviger, &pod), "the deny policy still denies");
    // An invalid allow policy is inactive, and a deleted deny policy denies no longer.
    cluster.kubectl(&["delete", "ccpol", "deny"]).succeeded();
    wait_until("the end of the deny", || is_allowed(&claviger, &pod));
    let mut broken = allow.clone();
    broken["spec"]["condition"] = json!("1 +");
    cluster.apply(&broken).succeeded();
    cluster.wait_for_reason(&broken, "Invalid");
    assert!(!is_allowed(&claviger, &pod));
}
