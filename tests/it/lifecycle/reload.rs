//! SIGHUP: policies, certificates, tokens and keys are read again; invalid ones do not replace valid ones.

use crate::rig::bao::until;
use crate::rig::claviger::{Claviger, Dev, manifest, wait_until};
use crate::rig::installation::InstallationSetup;
use serde_json::json;
use std::fs;

const READ_AGAIN: &str = "tokens reloaded";

/// Sends SIGHUP and waits for the end of the reload.
fn reload(claviger: &Claviger) {
    let before = claviger.count_logged(READ_AGAIN);
    claviger.signal("HUP");
    wait_until("the files to be read again", || claviger.count_logged(READ_AGAIN) > before);
}

#[test]
fn policies_are_read_again_at_once() {
    let spec = json!({
        "subjects": [{"oidc": {"issuer": "dev", "claims": {"role": "build"}}}], "repos": ["a"], "branches": ["main"],
        "secrets": [{"store": "local", "path": "homelab/a"}],
    });
    let claviger = Claviger::dev(&Dev { policies: &[("a", spec.clone())], ..Dev::default() });
    let mut other = spec;
    other["repos"] = json!(["b"]);
    fs::write(claviger.folder.path().join("test-policies/a.yaml"), manifest("a", &other)).unwrap();
    reload(&claviger);
    for (repo, status) in [("b", 201), ("a", 403)] {
        assert_eq!(claviger.ask(&claviger.token("token"), &format!("repo={repo}&branch=main")).status, status);
    }
}

#[test]
fn an_issuers_keys_are_read_again_and_bad_ones_are_not_taken() {
    let (ours, other) = (Claviger::sample(), Claviger::sample());
    let keys = |claviger: &Claviger| claviger.folder.path().join("jwks.json");
    let asks = |token: &str| ours.ask(token, "repo=moreira.dev&branch=main").status;
    let (own, foreign) = (ours.token("token"), other.token("token"));
    assert_eq!((asks(&own), asks(&foreign)), (201, 401));
    fs::write(keys(&ours), "{").unwrap();
    reload(&ours);
    assert_eq!((asks(&own), asks(&foreign)), (201, 401), "the last valid keys stay");
    fs::copy(keys(&other), keys(&ours)).unwrap();
    reload(&ours);
    wait_until("the cached refusal to expire", || asks(&foreign) == 201);
}

#[tokio::test]
async fn a_stores_token_is_read_again() {
    let mut setup = InstallationSetup::new().await;
    setup.bao.put("homelab/shared", &[("K", "v")]).await;
    let token = setup.bao.token(&["claviger"], "1h").await;
    let file = setup.folder.path().join("token");
    fs::write(&file, "s.nobody").unwrap();
    setup.config["stores"][0]["vault"]["auth"] = json!({"tokenFile": file});
    setup.cache(json!({"ttl": "0s"}));
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await;
    pod.asks("site", "main").assert_refused(502, "store_forbidden");
    fs::write(&file, token).unwrap();
    reload(&rig.claviger);
    assert_eq!(pod.asks("site", "main").file(), "export K='v'\n# claviger: 1 keys\n");
    // The file of the broker's own token becomes invalid: the working token stays in use.
    fs::write(&file, "two words").unwrap();
    reload(&rig.claviger);
    until("a read with the working token", async || pod.asks("site", "main").answer.status == 201).await;
}
