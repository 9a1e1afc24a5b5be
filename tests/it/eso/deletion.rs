//! A Secret whose source is removed or denied, for each `deletionPolicy`.

use super::documented::{cluster_store, external_secret, prepare};
use crate::rig::claviger::write_policies;
use crate::rig::eso::Eso;
use crate::rig::installation::Installation;
use serde_json::{Value, json};

const STORE: &str = "claviger-deletion";
const FULL: [(&str, &str); 2] = [("NPM_TOKEN", "team-g"), ("COUNT", "1.50")];

/// Applies one `ExternalSecret` for each `deletionPolicy`.
async fn apply_external_secrets(rig: &Installation, eso: &Eso) -> Vec<Value> {
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
    eso.apply(&manifests).await;
    manifests
}

async fn assert_full(eso: &Eso) {
    eso.wait_until_synced("team-g", "retain", &FULL).await;
    eso.wait_until_synced("team-g", "delete", &FULL).await;
    eso.wait_until_synced("team-g", "merge", &[FULL[0], FULL[1], ("THEIRS", "kept")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_secrets_are_removed_and_denied_ones_stay() {
    let setup = prepare(&["team-g"]).await;
    let policies = setup.folder.path().join("policies");
    let (rig, eso) = (setup.start(), Eso::start().await);
    let manifests = apply_external_secrets(&rig, &eso).await;
    assert_full(&eso).await;

    // One key is removed.
    rig.bao.put("homelab/team-g/site/main", &[("NPM_TOKEN", "team-g")]).await;
    eso.wait_until_synced("team-g", "retain", &[FULL[0]]).await;
    eso.wait_until_synced("team-g", "delete", &[FULL[0]]).await;
    eso.wait_until_synced("team-g", "merge", &[FULL[0], ("THEIRS", "kept")]).await;
    rig.bao.put("homelab/team-g/site/main", &FULL).await;
    assert_full(&eso).await;

    // The request is denied.
    let freeze = json!({
        "effect": "deny", "repos": ["**"], "branches": ["**"],
        "subjects": [{"kubernetes": {"namespaces": ["team-g"], "serviceAccounts": ["**"]}}],
    });
    write_policies(&policies, &[("freeze", freeze)]);
    for name in ["retain", "delete", "merge"] {
        eso.wait_until_failed("team-g", name).await;
    }
    eso.assert_secret("team-g", "retain", &FULL).await;
    eso.assert_secret("team-g", "delete", &FULL).await;
    eso.assert_secret("team-g", "merge", &[FULL[0], FULL[1], ("THEIRS", "kept")]).await;
    std::fs::remove_file(policies.join("freeze.yaml")).unwrap();

    // The whole secret is removed.
    rig.bao.delete("homelab/team-g/site/main").await;
    eso.wait_until_removed("team-g", "delete").await;
    eso.wait_until_synced("team-g", "merge", &[("THEIRS", "kept")]).await;
    let said = eso.wait_until_failed("team-g", "retain").await;
    eso.assert_secret("team-g", "retain", &FULL).await;
    assert_eq!(said.reason, "SecretSyncedError", "{said:?}");

    // The secret exists again.
    rig.bao.put("homelab/team-g/site/main", &[("NPM_TOKEN", "new")]).await;
    for name in ["retain", "delete"] {
        eso.wait_until_synced("team-g", name, &[("NPM_TOKEN", "new")]).await;
    }
    eso.wait_until_synced("team-g", "merge", &[("NPM_TOKEN", "new"), ("THEIRS", "kept")]).await;
    eso.delete(&manifests).await;
}
