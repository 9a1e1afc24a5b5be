//! The API server goes away, comes back with a history that was forgotten, or was never there; and a broker without rights.

use super::cluster::{PolicyCluster, cluster_policy};
use super::walk::may;
use crate::rig::cable::Cable;
use crate::rig::claviger::{Claviger, wait_until, write_policies};
use crate::rig::http::request;
use crate::rig::kube::User;
use crate::rig::oidc::{ISSUER, Issuer};
use serde_json::{Value, json};
use std::fs;

fn ready(claviger: &Claviger) -> (u16, String) {
    let answer = request(claviger.ops, "GET", "/readyz", &[], b"");
    (answer.status, answer.text())
}

/// Whether an OIDC caller, for whom no API server is needed, may have a repo.
fn decides(claviger: &Claviger, token: &str, repo: &str) -> u16 {
    claviger.ask(token, &format!("repo={repo}&branch=main")).status
}

fn deny(name: &str, repo: &str) -> Value {
    let mut deny = cluster_policy(name, repo);
    deny["spec"]["effect"] = json!("deny");
    deny["spec"].as_object_mut().unwrap().remove("secrets");
    deny
}

#[tokio::test]
async fn a_restart_of_the_api_server_loses_nothing_of_what_happened_meanwhile() {
    let cluster = PolicyCluster::bare().await;
    cluster.install_definitions();
    cluster.install_rights().await;
    let plane = cluster.kube.plane;
    let cable = Cable::to(plane.port());
    let pod = cluster.pod("ci/build-bot").await;
    let (keep, gone) = (cluster_policy("keep", "site"), deny("gone", "site"));
    cluster.apply(&keep).good();
    cluster.apply(&gone).good();
    // The caller by the plain way and the policies by the cable would be two clusters; so all goes by the cable.
    let mut claviger =
        PolicyCluster::serve(PolicyCluster::config_by(&plane.kubeconfig_for_port(User::Broker, cable.port)));
    cluster.becomes(&keep, "Accepted");
    cluster.becomes(&gone, "Accepted");
    assert!(!may(&claviger, &pod));

    cable.pull_out();
    claviger.wait_for_line("custom resources cannot be read");
    assert_eq!(ready(&claviger).0, 200, "what was read stays in force");
    assert_eq!(claviger.count("claviger_policies"), 2);
    assert_eq!(claviger.count("claviger_policy_watch_up{cluster=\"cluster\",kind=\"ClusterPolicy\"}"), 0);
    // The events of these changes are in no watch cache of the API server that starts: the version of the watch is too old.
    cluster.kubectl(&["delete", "ccpol", "gone"]).good();
    cluster.apply(&cluster_policy("new", "other")).good();
    plane.stop_api_server();
    plane.start_api_server().await;
    cable.plug_in();
    wait_until("the deletion", || may(&claviger, &pod));
    let listed = claviger.metrics();
    assert!(listed.contains("policy=\"new\""), "{listed}");
    wait_until("the watch", || {
        claviger.count("claviger_policy_watch_up{cluster=\"cluster\",kind=\"ClusterPolicy\"}") == 1
    });
    // And it goes on from there.
    let later = deny("later", "site");
    cluster.apply(&later).good();
    cluster.becomes(&later, "Accepted");
    assert!(!may(&claviger, &pod));
}

#[tokio::test]
async fn a_cluster_that_was_never_read_keeps_the_replica_unready() {
    let cluster = PolicyCluster::alone().await;
    let stopped = cluster.kube.plane.kubeconfig_of_stopped(User::Broker);
    let mut config = PolicyCluster::config_by(&stopped);
    let issuer = Issuer::new();
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

    // The twin: with the API server there, the same is served.
    config["authenticators"][0]["kubernetes"]["kubeconfig"] = json!(cluster.kube.plane.kubeconfig(User::Broker));
    let claviger = PolicyCluster::serve(config);
    wait_until("readiness", || ready(&claviger).0 == 200);
    assert_eq!(decides(&claviger, &issuer.token(&json!({})), "site"), 201);
}

#[tokio::test]
async fn missing_definitions_and_missing_rights_are_told_and_need_no_restart() {
    let cluster = PolicyCluster::bare().await;
    let mut claviger = PolicyCluster::serve(cluster.config());
    // Without rights the API server does not even say whether there is such a resource.
    let line = claviger.wait_for_line("custom resources cannot be read");
    assert!(line["error"].as_str().unwrap().contains("may not list and watch"), "{line}");
    assert_eq!(ready(&claviger).0, 503);
    cluster.install_rights().await;
    wait_until("the other reason", || claviger.log().contains("custom resource definitions are not installed"));
    assert_eq!(ready(&claviger).0, 503);
    cluster.install_definitions();
    wait_until("readiness", || ready(&claviger).0 == 200);
    let object = cluster_policy("p", "site");
    cluster.apply(&object).good();
    cluster.becomes(&object, "Accepted");
}

#[tokio::test]
async fn without_the_right_to_write_statuses_policies_are_in_force_all_the_same() {
    let cluster = PolicyCluster::bare().await;
    cluster.install_definitions();
    cluster.install_rights().await;
    let role = "clusterrole/claviger-rel-claviger-policies";
    let only_read = r#"[{"op": "remove", "path": "/rules/1"}]"#;
    cluster.kubectl(&["patch", role, "--type=json", "-p", only_read]).good();
    let pod = cluster.pod("ci/build-bot").await;
    cluster.apply(&cluster_policy("p", "site")).good();
    let mut claviger = PolicyCluster::serve(cluster.config());
    wait_until("readiness", || ready(&claviger).0 == 200);
    assert!(may(&claviger, &pod));
    claviger.wait_for_line("statuses of custom resources cannot be written");
}
