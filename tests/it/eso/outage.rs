//! Outages of Claviger and of its store, and recovery.

use super::documented::{cluster_store, external_secret, prepare};
use crate::rig::claviger::Claviger;
use crate::rig::eso::Eso;
use crate::rig::installation::Installation;
use crate::rig::tcp_relay::TcpRelay;

const STORE: &str = "claviger-outage";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_stay_while_claviger_is_away_and_are_refreshed_when_it_is_back() {
    let setup = prepare(&["team-h"]).await;
    let config = setup.config.clone();
    let (rig, eso) = (setup.start(), Eso::start().await);
    let full = [("NPM_TOKEN", "team-h"), ("COUNT", "1.50")];
    // The relay keeps the port during the outage, so that no other test gets it.
    let relay = TcpRelay::to(rig.claviger.api.port());
    let manifests = [
        cluster_store(([127, 0, 0, 1], relay.port).into(), STORE),
        external_secret(STORE, ["team-h", "site"], "Delete"),
    ];
    eso.apply(&manifests).await;
    eso.wait_until_synced("team-h", "site", &full).await;

    let Installation { kube: _kube, bao, mut claviger } = rig;
    claviger.signal("KILL");
    claviger.wait(std::time::Duration::from_secs(5));
    let said = eso.wait_until_failed("team-h", "site").await;
    assert_eq!(said.reason, "SecretSyncedError", "{said:?}");
    eso.assert_secret("team-h", "site", &full).await;

    let folder = std::mem::replace(&mut claviger.folder, tempfile::tempdir().unwrap());
    drop(claviger);
    bao.put("homelab/team-h/site/main", &[("NPM_TOKEN", "new")]).await;
    let claviger = Claviger::serve_in(folder, config);
    relay.redirect_to(claviger.api.port());
    eso.wait_until_synced("team-h", "site", &[("NPM_TOKEN", "new")]).await;

    bao.seal().await;
    eso.wait_until_failed("team-h", "site").await;
    eso.assert_secret("team-h", "site", &[("NPM_TOKEN", "new")]).await;
    assert!(claviger.audit_events().iter().any(|event| event["reason"] == "store_unavailable"));
    eso.delete(&manifests).await;
}
