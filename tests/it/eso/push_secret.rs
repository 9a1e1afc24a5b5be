//! `PushSecret` writes: the read-only API refuses it with a reason, and the secret is unchanged.

use super::documented::{cluster_store, external_secret, prepare};
use crate::rig::eso::Eso;
use serde_json::json;

const STORE: &str = "claviger-pushed";
const FULL: [(&str, &str); 2] = [("NPM_TOKEN", "team-p"), ("COUNT", "1.50")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_refused_with_its_reason_and_changes_nothing() {
    let setup = prepare(&["team-p"]).await;
    let (rig, eso) = (setup.start(), Eso::start().await);
    let pushed = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pushed", "namespace": "team-p"},
                        "stringData": {"NPM_TOKEN": "pushed"}});
    let push = json!({
        "apiVersion": "external-secrets.io/v1alpha1", "kind": "PushSecret",
        "metadata": {"name": "site", "namespace": "team-p"},
        "spec": {
            "refreshInterval": "1h", "deletionPolicy": "Delete",
            "secretStoreRefs": [{"name": STORE, "kind": "ClusterSecretStore"}],
            "selector": {"secret": {"name": "pushed"}},
            "data": [{"match": {"secretKey": "NPM_TOKEN", "remoteRef": {"remoteKey": "site/main", "property": "NPM_TOKEN"}}}],
        },
    });
    let manifests =
        [cluster_store(rig.claviger.api, STORE), external_secret(STORE, ["team-p", "site"], "Delete"), pushed, push];
    eso.apply(&manifests).await;
    let said = eso.push_condition("team-p", "site").await;
    assert!(said.status == "False" && said.message.contains("403"), "{said:?}");
    assert!(said.message.contains("this API is read-only"), "{said:?}");
    // The twin: the same caller reads the secret before and after.
    eso.wait_until_synced("team-p", "site", &FULL).await;
    // Deleting a pushed secret is refused too.
    eso.delete(&manifests[3..]).await;
    rig.bao.put("homelab/team-p/site/main", &[("NPM_TOKEN", "team-p"), ("COUNT", "2")]).await;
    eso.wait_until_synced("team-p", "site", &[("NPM_TOKEN", "team-p"), ("COUNT", "2")]).await;
    eso.delete(&manifests).await;
}
