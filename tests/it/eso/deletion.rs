//! What becomes of a Secret whose source is removed or denied, under each policy of deletion.

use super::documented::{cluster_store, external_secret, prepared};
use crate::rig::claviger::write_policies;
use crate::rig::eso::Eso;
use crate::rig::installation::Installation;
use serde_json::{Value, json};

const STORE: &str = "claviger-deletion";
const FULL: [(&str, &str); 2] = [("NPM_TOKEN", "team-g"), ("COUNT", "1.50")];

/// One `ExternalSecret` for each policy of deletion.
async fn applied(rig: &Installation, eso: &Eso) -> Vec<Value> {
    let mut manifests = vec![
        cluster_store(rig.claviger.api, STORE),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "merge", "namespace": "team-g"},
               "stringData": {"THEIRS": "kept"}}),
    ];
    manifests
        .extend(["Retain", "Delete"].map(|policy| external_secret(STORE, ["team-g", &policy.to_lowercase()], policy)));
    let mut merging = external_secret(STORE, ["team-g", "merge"], "Merge");
    merging["spec"]["target"]["creationPolicy"] = json!("Merge");
    manifests.push(merging);
    eso.applies(&manifests).await;
    manifests
}

async fn full(eso: &Eso) {
    eso.synced("team-g", "retain", &FULL).await;
    eso.synced("team-g", "delete", &FULL).await;
    eso.synced("team-g", "merge", &[FULL[0], FULL[1], ("THEIRS", "kept")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_secrets_are_removed_and_denied_ones_stay() {
    let plan = prepared(&["team-g"]).await;
    let policies = plan.folder.path().join("policies");
    let (rig, eso) = (plan.start(), Eso::start().await);
    let manifests = applied(&rig, &eso).await;
    full(&eso).await;

    // A key fewer.
    rig.bao.put("homelab/team-g/site/main", &[("NPM_TOKEN", "team-g")]).await;
    eso.synced("team-g", "retain", &[FULL[0]]).await;
    eso.synced("team-g", "delete", &[FULL[0]]).await;
    eso.synced("team-g", "merge", &[FULL[0], ("THEIRS", "kept")]).await;
    rig.bao.put("homelab/team-g/site/main", &FULL).await;
    full(&eso).await;

    // Denied.
    let freeze = json!({
        "effect": "deny", "repos": ["**"], "branches": ["**"],
        "subjects": [{"kubernetes": {"namespaces": ["team-g"], "serviceAccounts": ["**"]}}],
    });
    write_policies(&policies, &[("freeze", freeze)]);
    for name in ["retain", "delete", "merge"] {
        eso.failed("team-g", name).await;
    }
    eso.has("team-g", "retain", &FULL).await;
    eso.has("team-g", "delete", &FULL).await;
    eso.has("team-g", "merge", &[FULL[0], FULL[1], ("THEIRS", "kept")]).await;
    std::fs::remove_file(policies.join("freeze.yaml")).unwrap();

    // All of it is gone.
    rig.bao.delete("homelab/team-g/site/main").await;
    eso.removed("team-g", "delete").await;
    eso.synced("team-g", "merge", &[("THEIRS", "kept")]).await;
    let said = eso.failed("team-g", "retain").await;
    eso.has("team-g", "retain", &FULL).await;
    assert_eq!(said.reason, "SecretSyncedError", "{said:?}");

    // And back.
    rig.bao.put("homelab/team-g/site/main", &[("NPM_TOKEN", "new")]).await;
    for name in ["retain", "delete"] {
        eso.synced("team-g", name, &[("NPM_TOKEN", "new")]).await;
    }
    eso.synced("team-g", "merge", &[("NPM_TOKEN", "new"), ("THEIRS", "kept")]).await;
    eso.deletes(&manifests).await;
}
