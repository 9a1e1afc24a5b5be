//! An API server that stops, that restarts without its history, or that was never reachable; and a broker without permissions.

use super::cluster::{PolicyCluster, cluster_policy};
use super::walk::is_allowed;
use crate::rig::claviger::{Claviger, wait_until, write_policies};
use crate::rig::http::request;
use crate::rig::kube::User;
use crate::rig::oidc::{ISSUER, TokenIssuer};
use crate::rig::tcp_relay::TcpRelay;
use serde_json::{Value, json};
use std::fs;

fn ready(claviger: &Claviger) -> (u16, String) {
    let answer = request(claviger.ops, "GET", "/readyz", &[], b"");
    (answer.status, answer.text())
}

/// The status of a request by an OIDC caller, for whom no API server is needed.
fn status_for(claviger: &Claviger, token: &str, repo: &str) -> u16 {
    claviger.ask(token, &format!("repo={repo}&branch=main")).status
}

fn deny(name: &str, repo: &str) -> Value {
    let mut deny = cluster_policy(name, repo);
    deny["spec"]["effect"] = json!("deny");
    deny["spec"].as_object_mut().unwrap().remove("secrets");
    deny
}

#[tokio::test]
async fn changes_during_a_restart_of_the_api_server_are_seen() {
    let cluster = PolicyCluster::without_definitions().await;
    cluster.install_definitions();
    cluster.install_permissions().await;
    let plane = cluster.kube.plane;
    let relay = TcpRelay::to(plane.port());
    let pod = cluster.pod("ci/build-bot").await;
    let (keep, gone) = (cluster_policy("keep", "site"), deny("gone", "site"));
    cluster.apply(&keep).succeeded();
    cluster.apply(&gone).succeeded();
    // Two addresses would be two clusters, so callers and policies both use the relay.
    let mut claviger =
        PolicyCluster::serve(PolicyCluster::config_with(&plane.kubeconfig_for_port(User::Broker, relay.port)));
    cluster.wait_for_reason(&keep, "Accepted");
    cluster.wait_for_reason(&gone, "Accepted");
    assert!(!is_allowed(&claviger, &pod));

    relay.disconnect();
    claviger.wait_for_line("custom resources cannot be read");
    assert_eq!(ready(&claviger).0, 200, "the last policies stay active");
    assert_eq!(claviger.count("claviger_policies"), 2);
    assert_eq!(claviger.count("claviger_policy_watch_up{cluster=\"cluster\",kind=\"ClusterPolicy\"}"), 0);
    // The events of these changes are in no watch cache of the API server that starts: the version of the watch is too old.
    cluster.kubectl(&["delete", "ccpol", "gone"]).succeeded();
    cluster.apply(&cluster_policy("new", "other")).succeeded();
    plane.stop_api_server();
    plane.start_api_server().await;
    relay.reconnect();
    wait_until("the deletion", || is_allowed(&claviger, &pod));
    let listed = claviger.metrics();
    assert!(listed.contains("policy=\"new\""), "{listed}");
    wait_until("the watch", || {
        claviger.count("claviger_policy_watch_up{cluster=\"cluster\",kind=\"ClusterPolicy\"}") == 1
    });
    // Later changes are seen.
    let later = deny("later", "site");
    cluster.apply(&later).succeeded();
    cluster.wait_for_reason(&later, "Accepted");
    assert!(!is_allowed(&claviger, &pod));
}

#[tokio::test]
async fn a_cluster_that_was_never_read_keeps_the_replica_unready() {
    let cluster = PolicyCluster::exclusive().await;
    let stopped = cluster.kube.plane.kubeconfig_of_stopped(User::Broker);
    let mut config = PolicyCluster::config_with(&stopped);
    let issuer = TokenIssuer::new();
    let folder = tempfile::tempdir().unwrap();
    let jwks = folder.path().join("jwks.json");
    fs::write(&jwks, issuer.jwks().to_string()).unwrap();
    config["authenticators"].as_array_mut().unwrap().push(json!({
        "name": "ci", "oidc": {"issuer": ISSUER, "audience": "claviger", "jwksFile": jwks, "algorithms": ["ES256"]},
    }));
    let mut spec = cluster_policy("filed", "site")["spec"].clone();
    spec["subjects"] = json!([{"oidc": {"issuer": "ci", "claims": {"role": "build"}}}]);
    write_policies(&folder.path().join("policies"), &[("filed", spec)]);
    config["policies"]["directory"] = json!(folder.path().join("policies"));
    let mut claviger = PolicyCluster::serve(config.clone());
    let line = claviger.wait_for_line("custom resources cannot be read");
    assert!(line["error"].as_str().unwrap().contains("refused"), "{line}");
    let (status, text) = ready(&claviger);
    assert_eq!(status, 503);
    assert!(text.contains("policies_unavailable") && text.contains("cluster cluster"), "{text}");
    let answer = claviger.ask(&issuer.token(&json!({})), "repo=site&branch=main");
    assert_eq!((answer.status, answer.code().as_str()), (503, "policies_unavailable"), "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    drop(claviger);

    // The twin: with a reachable API server the same request succeeds.
    config["authenticators"][0]["kubernetes"]["kubeconfig"] = json!(cluster.kube.plane.kubeconfig(User::Broker));
    let claviger = PolicyCluster::serve(config);
    wait_until("readiness", || ready(&claviger).0 == 200);
    assert_eq!(status_for(&claviger, &issuer.token(&json!({})), "site"), 201);
}

#[tokio::test]
async fn missing_definitions_and_permissions_are_reported_and_need_no_restart() {
    let cluster = PolicyCluster::without_definitions().await;
    let mut claviger = PolicyCluster::serve(cluster.config());
    // Without rights the API server does not even say whether there is such a resource.
    let line = claviger.wait_for_line("custom resources cannot be read");
    assert!(line["error"].as_str().unwrap().contains("may not list and watch"), "{line}");
    assert_eq!(ready(&claviger).0, 503);
    cluster.install_permissions().await;
    wait_until("the second error", || claviger.log().contains("custom resource definitions are not installed"));
    assert_eq!(ready(&claviger).0, 503);
    cluster.install_definitions();
    wait_until("readiness", || ready(&claviger).0 == 200);
    let object = cluster_policy("p", "site");
    cluster.apply(&object).succeeded();
    cluster.wait_for_reason(&object, "Accepted");
}

#[tokio::test]
async fn policies_are_active_without_the_permission_to_write_statuses() {
    let cluster = PolicyCluster::without_definitions().await;
    cluster.install_definitions();
    cluster.install_permissions().await;
    let role = "clusterrole/claviger-rel-claviger-policies";
    let only_read = r#"[{"op": "remove", "path": "/rules/1"}]"#;
    cluster.kubectl(&["patch", role, "--type=json", "-p", only_read]).succeeded();
    let pod = cluster.pod("ci/build-bot").await;
    cluster.apply(&cluster_policy("p", "site")).succeeded();
    let mut claviger = PolicyCluster::serve(cluster.config());
    wait_until("readiness", || ready(&claviger).0 == 200);
    assert!(is_allowed(&claviger, &pod));
    claviger.wait_for_line("statuses of custom resources cannot be written");
}
