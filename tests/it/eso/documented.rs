//! The manifests of docs/ESO.md, unchanged, applied to the real operator.

use super::setup;
use crate::rig::eso::Eso;
use crate::rig::installation::{Installation, InstallationSetup};
use claviger::document::parse;
use serde_json::{Value, json};
use std::net::SocketAddr;

const TEXT: &str = include_str!("../../../docs/ESO.md");

/// All YAML documents of the page, in order.
fn documents() -> Vec<Value> {
    let blocks = TEXT.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(|block| block.split("---\n")).map(|text| parse(text).unwrap()).collect()
}

/// The page's `ExternalSecrets` and stores, for the test's server, limited to these namespaces; objects without a namespace get
/// the test's name.
pub(super) fn manifests(api: SocketAddr, namespaces: &[&str], cluster_store: &str) -> Vec<Value> {
    let server = format!("http://{api}");
    let of_operator = |document: &Value| document["apiVersion"] == "external-secrets.io/v1";
    let mut found = Vec::new();
    for document in documents().into_iter().filter(of_operator) {
        let namespace = document["metadata"]["namespace"].as_str();
        if namespace.is_some_and(|namespace| !namespaces.contains(&namespace)) {
            continue;
        }
        let text = document.to_string().replace("https://claviger.claviger.svc:8443", &server);
        let mut document: Value = serde_json::from_str(&text).unwrap();
        if document["kind"] == "ClusterSecretStore" {
            document["metadata"]["name"] = json!(cluster_store);
        }
        if document["spec"]["secretStoreRef"]["kind"] == "ClusterSecretStore" {
            document["spec"]["secretStoreRef"]["name"] = json!(cluster_store);
        }
        found.push(document);
    }
    found
}

/// A `ClusterSecretStore` at this server.
pub(super) fn cluster_store(api: SocketAddr, name: &str) -> Value {
    manifests(api, &[], name).remove(0)
}

/// The page's `ExternalSecret` for the whole bundle `site/main`, with another `deletionPolicy`.
pub(super) fn external_secret(store: &str, [namespace, name]: [&str; 2], deletion: &str) -> Value {
    let of_page = |document: &Value| document["metadata"] == json!({"name": "site", "namespace": "team-a"});
    let mut document = documents().into_iter().find(of_page).unwrap();
    document["metadata"] = json!({"name": name, "namespace": namespace});
    document["spec"]["secretStoreRef"]["name"] = json!(store);
    document["spec"]["target"] = json!({"name": name, "deletionPolicy": deletion});
    document
}

/// The policy of the page, and a ServiceAccount in each of the namespaces.
pub(super) async fn prepare(namespaces: &[&str]) -> InstallationSetup {
    let setup = setup().await;
    let policy = documents().into_iter().find(|document| document["apiVersion"] == "claviger.dev/v1alpha1").unwrap();
    setup.policy(policy["metadata"]["name"].as_str().unwrap(), policy["spec"].clone());
    for namespace in namespaces {
        setup.kube.unbound_token(&format!("{namespace}/build-bot"), "elsewhere").await;
        setup.bao.put(&format!("homelab/{namespace}/site/main"), &[("NPM_TOKEN", namespace), ("COUNT", "1.50")]).await;
    }
    setup
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_namespace_gets_its_own_bundle_by_a_cluster_store_or_a_namespaced_store() {
    let settings = documents().into_iter().find(|document| document["authenticators"].is_array()).unwrap();
    let setup = prepare(&["team-a", "team-b", "team-d"]).await;
    let of_page = &settings["authenticators"][0]["kubernetes"];
    assert_eq!(of_page["unboundAudience"], setup.config["authenticators"][0]["kubernetes"]["unboundAudience"]);
    let (rig, eso) = (setup.start(), Eso::start().await);
    let mut manifests = manifests(rig.claviger.api, &["team-a", "team-b"], "claviger-documented");
    // One of them merges into a Secret that another owner created.
    let theirs = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "merged", "namespace": "team-a"},
                        "stringData": {"THEIRS": "kept"}});
    manifests.insert(0, theirs);
    manifests.push(external_secret("claviger-documented", ["team-d", "site"], "Delete"));
    eso.apply(&manifests).await;
    eso.wait_until_synced("team-a", "site", &[("NPM_TOKEN", "team-a"), ("COUNT", "1.50")]).await;
    eso.wait_until_synced("team-a", "npm", &[("token", "team-a")]).await;
    eso.wait_until_synced("team-a", "merged", &[("THEIRS", "kept"), ("NPM_TOKEN", "team-a"), ("COUNT", "1.50")]).await;
    eso.wait_until_synced("team-b", "site", &[("NPM_TOKEN", "team-b"), ("COUNT", "1.50")]).await;
    eso.wait_until_synced("team-d", "site", &[("NPM_TOKEN", "team-d"), ("COUNT", "1.50")]).await;
    assert_eq!(eso.store_condition("team-b", "claviger").await.status, "True");
    for event in rig.claviger.audit_events().iter().filter(|event| event["type"] == "secrets.read") {
        assert_eq!((&event["via"], &event["caller"]["pod"]), (&json!("vault"), &Value::Null), "{event}");
        let namespace = event["caller"]["namespace"].as_str().unwrap();
        assert_eq!(event["secrets"][0]["path"], format!("homelab/{namespace}/site/main"), "{event}");
    }
    eso.delete(&manifests).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_with_a_wrong_audience_is_not_ready_and_other_stores_are() {
    let setup = prepare(&["team-e", "team-f"]).await;
    let (rig, eso) = (setup.start(), Eso::start().await);
    let mut manifests = Vec::new();
    for (namespace, audience) in [("team-e", "claviger"), ("team-f", "claviger-eso")] {
        let mut store = cluster_store(rig.claviger.api, "claviger");
        store["kind"] = json!("SecretStore");
        store["metadata"]["namespace"] = json!(namespace);
        store["spec"]["provider"]["vault"]["auth"]["kubernetes"]["serviceAccountRef"]["audiences"] = json!([audience]);
        let mut secret = external_secret("claviger", [namespace, "site"], "Delete");
        secret["spec"]["secretStoreRef"]["kind"] = json!("SecretStore");
        manifests.extend([store, secret]);
    }
    eso.apply(&manifests).await;
    eso.wait_until_synced("team-f", "site", &[("NPM_TOKEN", "team-f"), ("COUNT", "1.50")]).await;
    let refused = eso.store_condition("team-e", "claviger").await;
    assert!(refused.status == "False", "{refused:?}");
    eso.wait_until_failed("team-e", "site").await;
    assert_eq!(eso.secret("team-e", "site").await, None);
    eso.delete(&manifests).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_webhook_provider_works_with_a_token_in_a_secret() {
    let setup = prepare(&["team-c"]).await;
    let (rig, eso) = (setup.start(), Eso::start().await);
    let token = rig.kube.unbound_token("team-c/build-bot", super::UNBOUND).await;
    let secret = |token: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"token": token}, "metadata": {
            "name": "claviger-token", "namespace": "team-c", "labels": {"external-secrets.io/type": "webhook"}}})
    };
    let mut manifests = vec![secret(&token)];
    manifests.extend(self::manifests(rig.claviger.api, &["team-c"], "unused").into_iter().skip(1));
    eso.apply(&manifests).await;
    eso.wait_until_synced("team-c", "site", &[("NPM_TOKEN", "team-c"), ("COUNT", "1.50")]).await;
    // A hostile key is not interpreted.
    let mut hostile = manifests.last().unwrap().clone();
    hostile["metadata"]["name"] = json!("hostile");
    hostile["spec"]["target"]["name"] = json!("hostile");
    hostile["spec"]["dataFrom"][0]["extract"]["key"] = json!(r#"site", "branch": "x"#);
    eso.apply(&[hostile.clone()]).await;
    eso.wait_until_failed("team-c", "hostile").await;
    let event = rig.claviger.audit_events().into_iter().rfind(|event| event["reason"] == "invalid_repo");
    assert!(event.is_some(), "the repo is refused");
    eso.apply(&[secret("expired")]).await;
    let said = eso.wait_until_failed("team-c", "site").await;
    assert!(said.status == "False" && eso.secret("team-c", "site").await.is_some(), "{said:?}");
    manifests.push(hostile);
    eso.delete(&manifests).await;
    let Installation { claviger, .. } = rig;
    assert!(!claviger.log().contains(&token));
}
