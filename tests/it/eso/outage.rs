//! Claviger is away, its store is sealed, and both come back.

use super::documented::{cluster_store, external_secret, prepared};
use crate::rig::cable::Cable;
use crate::rig::claviger::Claviger;
use crate::rig::eso::Eso;
use crate::rig::installation::Installation;

const STORE: &str = "claviger-outage";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_stay_while_claviger_is_away_and_are_refreshed_when_it_is_back() {
    let plan = prepared(&["team-h"]).await;
    let config = plan.config.clone();
    let (rig, eso) = (plan.start(), Eso::start().await);
    let full = [("NPM_TOKEN", "team-h"), ("COUNT", "1.50")];
    // It keeps the address while nobody serves: another test could be given a port that is free for a moment.
    let cable = Cable::to(rig.claviger.api.port());
    let manifests = [
        cluster_store(([127, 0, 0, 1], cable.port).into(), STORE),
        external_secret(STORE, ["team-h", "site"], "Delete"),
    ];
    eso.applies(&manifests).await;
    eso.synced("team-h", "site", &full).await;

    let Installation { kube: _kube, bao, mut claviger } = rig;
    claviger.signal("KILL");
    claviger.wait(std::time::Duration::from_secs(5));
    let said = eso.failed("team-h", "site").await;
    assert_eq!(said.reason, "SecretSyncedError", "{said:?}");
    eso.has("team-h", "site", &full).await;

    let folder = std::mem::replace(&mut claviger.folder, tempfile::tempdir().unwrap());
    drop(claviger);
    bao.put("homelab/team-h/site/main", &[("NPM_TOKEN", "new")]).await;
    let claviger = Claviger::serve_in(folder, config);
    cable.lead_to(claviger.api.port());
    eso.synced("team-h", "site", &[("NPM_TOKEN", "new")]).await;

    bao.seal().await;
    eso.failed("team-h", "site").await;
    eso.has("team-h", "site", &[("NPM_TOKEN", "new")]).await;
    assert!(claviger.audit_events().iter().any(|event| event["reason"] == "store_unavailable"));
    eso.deletes(&manifests).await;
}
