//! The manifests of docs/ESO.md, as they stand there, applied to the real operator.

use super::plan;
use crate::rig::eso::Eso;
use crate::rig::installation::{Installation, Plan};
use claviger::document::parse;
use serde_json::{Value, json};
use std::net::SocketAddr;

const TEXT: &str = include_str!("../../../docs/ESO.md");

/// All YAML documents of the page, in order.
fn documents() -> Vec<Value> {
    let blocks = TEXT.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(|block| block.split("---\n")).map(|text| parse(text).unwrap()).collect()
}

/// Its `ExternalSecrets` and stores for another server, of these namespaces or of none, under a name of the test's for what is
/// in no namespace.
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

/// The whole bundle `site/main` in a namespace, as the page has it but for its policy of deletion.
pub(super) fn external_secret(store: &str, [namespace, name]: [&str; 2], deletion: &str) -> Value {
    let of_page = |document: &Value| document["metadata"] == json!({"name": "site", "namespace": "team-a"});
    let mut document = documents().into_iter().find(of_page).unwrap();
    document["metadata"] = json!({"name": name, "namespace": namespace});
    document["spec"]["secretStoreRef"]["name"] = json!(store);
    document["spec"]["target"] = json!({"name": name, "deletionPolicy": deletion});
    document
}

/// The policy of the page, and a ServiceAccount in each of the namespaces.
pub(super) async fn prepared(namespaces: &[&str]) -> Plan {
    let plan = plan().await;
    let policy = documents().into_iter().find(|document| document["apiVersion"] == "claviger.dev/v1alpha1").unwrap();
    plan.policy(policy["metadata"]["name"].as_str().unwrap(), policy["spec"].clone());
    for namespace in namespaces {
        plan.kube.unbound_token(&format!("{namespace}/build-bot"), "elsewhere").await;
        plan.bao.put(&format!("homelab/{namespace}/site/main"), &[("NPM_TOKEN", namespace), ("COUNT", "1.50")]).await;
    }
    plan
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_namespace_gets_its_own_bundle_by_one_cluster_store_or_by_its_own() {
    let settings = documents().into_iter().find(|document| document["authenticators"].is_array()).unwrap();
    let plan = prepared(&["team-a", "team-b", "team-d"]).await;
    let of_page = &settings["authenticators"][0]["kubernetes"];
    assert_eq!(of_page["unboundAudience"], plan.config["authenticators"][0]["kubernetes"]["unboundAudience"]);
    let (rig, eso) = (plan.start(), Eso::start().await);
    let mut manifests = manifests(rig.claviger.api, &["team-a", "team-b"], "claviger-documented");
    // The Secret into which one of them merges is somebody else's.
    let theirs = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "merged", "namespace": "team-a"},
                        "stringData": {"THEIRS": "kept"}});
    manifests.insert(0, theirs);
    manifests.push(external_secret("claviger-documented", ["team-d", "site"], "Delete"));
    eso.applies(&manifests).await;
    eso.synced("team-a", "site", &[("NPM_TOKEN", "team-a"), ("COUNT", "1.50")]).await;
    eso.synced("team-a", "npm", &[("token", "team-a")]).await;
    eso.synced("team-a", "merged", &[("THEIRS", "kept"), ("NPM_TOKEN", "team-a"), ("COUNT", "1.50")]).await;
    eso.synced("team-b", "site", &[("NPM_TOKEN", "team-b"), ("COUNT", "1.50")]).await;
    eso.synced("team-d", "site", &[("NPM_TOKEN", "team-d"), ("COUNT", "1.50")]).await;
    assert_eq!(eso.store("team-b", "claviger").await.status, "True");
    for event in rig.claviger.audit_events().iter().filter(|event| event["type"] == "secrets.read") {
        assert_eq!((&event["via"], &event["caller"]["pod"]), (&json!("vault"), &Value::Null), "{event}");
        let namespace = event["caller"]["namespace"].as_str().unwrap();
        assert_eq!(event["secrets"][0]["path"], format!("homelab/{namespace}/site/main"), "{event}");
    }
    eso.deletes(&manifests).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_the_audience_is_not_ready_and_its_neighbours_are() {
    let plan = prepared(&["team-e", "team-f"]).await;
    let (rig, eso) = (plan.start(), Eso::start().await);
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
    eso.applies(&manifests).await;
    eso.synced("team-f", "site", &[("NPM_TOKEN", "team-f"), ("COUNT", "1.50")]).await;
    let refused = eso.store("team-e", "claviger").await;
    assert!(refused.status == "False", "{refused:?}");
    eso.failed("team-e", "site").await;
    assert_eq!(eso.secret("team-e", "site").await, None);
    eso.deletes(&manifests).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_webhook_provider_works_with_a_token_that_somebody_keeps_fresh() {
    let plan = prepared(&["team-c"]).await;
    let (rig, eso) = (plan.start(), Eso::start().await);
    let token = rig.kube.unbound_token("team-c/build-bot", super::UNBOUND).await;
    let secret = |token: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"token": token}, "metadata": {
            "name": "claviger-token", "namespace": "team-c", "labels": {"external-secrets.io/type": "webhook"}}})
    };
    let mut manifests = vec![secret(&token)];
    manifests.extend(self::manifests(rig.claviger.api, &["team-c"], "unused").into_iter().skip(1));
    eso.applies(&manifests).await;
    eso.synced("team-c", "site", &[("NPM_TOKEN", "team-c"), ("COUNT", "1.50")]).await;
    // A hostile key stays a key.
    let mut hostile = manifests.last().unwrap().clone();
    hostile["metadata"]["name"] = json!("hostile");
    hostile["spec"]["target"]["name"] = json!("hostile");
    hostile["spec"]["dataFrom"][0]["extract"]["key"] = json!(r#"site", "branch": "x"#);
    eso.applies(&[hostile.clone()]).await;
    eso.failed("team-c", "hostile").await;
    let event = rig.claviger.audit_events().into_iter().rfind(|event| event["reason"] == "invalid_repo");
    assert!(event.is_some(), "it is refused as a repo");
    eso.applies(&[secret("expired")]).await;
    let said = eso.failed("team-c", "site").await;
    assert!(said.status == "False" && eso.secret("team-c", "site").await.is_some(), "{said:?}");
    manifests.push(hostile);
    eso.deletes(&manifests).await;
    let Installation { claviger, .. } = rig;
    assert!(!claviger.log().contains(&token));
}
