//! Volumes of pods, mounted by the real driver.

use super::Provider;
use super::driver::{Driver, class};
use crate::rig::bao::until;
use crate::rig::installation::{Installation, InstallationSetup};
use crate::rig::kube::actors::{Kube, PodActor};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::Code;

/// A driver with these flags, a provider, and a broker whose store has this secret.
async fn node(values: &[(&str, &str)], flags: &[&str]) -> (Installation, Driver, Provider) {
    let mut setup = InstallationSetup::new().await;
    setup.cache(json!({"ttl": "1s", "negativeTtl": "1s", "serveStaleFor": "1s"}));
    setup.bao.put("homelab/site/main", values).await;
    let rig = setup.start();
    let kube = Kube::start().await;
    // The namespace of the class.
    kube.unbound_token("ci/build-bot", "claviger").await;
    class(&kube).await;
    let driver = Driver::start(kube, flags).await;
    let server = format!("http://{}", rig.claviger.api);
    let provider = Provider::start_with(&server, &["--timeout", "3s"]);
    std::os::unix::fs::symlink(provider.socket(), driver.providers().join("claviger.sock")).unwrap();
    (rig, driver, provider)
}

async fn pod(rig: &Installation) -> PodActor {
    rig.pod("ci/build-bot").await.pod
}

fn files(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[tokio::test]
async fn a_pod_mounts_its_bundle_and_other_users_read_it() {
    let (rig, driver, provider) = node(&[("A", "one"), ("B", "two")], &[]).await;
    let builder = pod(&rig).await;
    let volume = driver.volume(&builder, &[]);
    volume.publish().await.unwrap_or_else(|status| panic!("{status:?}\n{}", driver.log()));
    assert_eq!(volume.files(), files(&[("A", "one"), ("B", "two")]));
    assert_eq!(volume.read_by(65532, "A").as_deref(), Some("one"));
    let status = driver.status_of(&builder).await;
    assert_eq!((status.len(), status[0].0.as_str(), status[0].1.len()), (1, "site/main", 32));
    // Without rotation another publish makes no request.
    let tickets = || rig.claviger.sum("claviger_tickets_issued_total");
    let before = tickets();
    volume.publish().await.unwrap();
    assert_eq!((tickets(), volume.files().len()), (before, 2));
    volume.unpublish().await;
    assert_eq!(volume.files(), BTreeMap::new());

    let owner_only = pod(&rig).await;
    let volume = driver.volume(&owner_only, &[("mode", "0400"), ("file", "etc/env"), ("keys", "A")]);
    volume.publish().await.unwrap();
    assert_eq!(volume.read_by(0, "etc/env").as_deref(), Some("export A='one'\n# claviger: 1 keys\n"));
    assert_eq!(volume.read_by(65532, "etc/env"), None);

    // The pod's author overrides the class, and policies decide.
    let hostile = pod(&rig).await;
    let volume = driver.volume(&hostile, &[("repo", "other"), ("server", "http://127.0.0.1:1"), ("audience", "x")]);
    let status = volume.publish().await.unwrap_err();
    assert!(status.code() == Code::PermissionDenied && status.message().contains("denied: "), "{status:?}");
    let log = driver.log() + &provider.log();
    assert!(!log.contains(&builder.token) && !log.contains("/v1/downloads"), "{log}");
}

#[tokio::test]
async fn with_rotation_a_store_that_is_down_at_the_first_mount_is_no_empty_volume() {
    let (rig, driver, _provider) = node(&[("A", "one")], &["--enable-secret-rotation=true"]).await;
    rig.bao.seal().await;
    let pod = pod(&rig).await;
    let volume = driver.volume(&pod, &[]);
    // Within `--rotation-poll-interval` the driver treats an existing folder as a finished mount.
    for _ in 0..2 {
        let status = volume.publish().await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
        assert!(status.message().contains("store_unavailable: "), "{status:?}");
        assert_eq!(volume.files(), BTreeMap::new());
    }
    // The working case: a driver and an available store.
    let (rig, driver, _provider) = node(&[("A", "one")], &["--enable-secret-rotation=true"]).await;
    let pod = super::volumes::pod(&rig).await;
    let volume = driver.volume(&pod, &[]);
    volume.publish().await.unwrap();
    assert_eq!(volume.files(), files(&[("A", "one")]));
}

#[tokio::test]
async fn with_rotation_files_vanish_with_their_keys_and_all_with_the_bundle() {
    let flags = ["--enable-secret-rotation=true", "--rotation-poll-interval=100ms"];
    let (rig, driver, _provider) = node(&[("A", "one"), ("B", "two")], &flags).await;
    let pod = pod(&rig).await;
    let volume = driver.volume(&pod, &[]);
    volume.publish().await.unwrap();
    assert_eq!(volume.files(), files(&[("A", "one"), ("B", "two")]));
    let first = driver.status_of(&pod).await;

    let becomes = async |expected: BTreeMap<String, String>| {
        until("the files to change", async || {
            volume.publish().await.unwrap();
            volume.files() == expected
        })
        .await;
    };
    rig.bao.put("homelab/site/main", &[("A", "newer")]).await;
    becomes(files(&[("A", "newer")])).await;
    let second = driver.status_of(&pod).await;
    assert!(first[0].0 == second[0].0 && first[0].1 != second[0].1, "{first:?} {second:?}");
    rig.bao.delete("homelab/site/main").await;
    becomes(files(&[(".claviger-empty", "")])).await;
    rig.bao.put("homelab/site/main", &[("A", "back")]).await;
    becomes(files(&[("A", "back")])).await;
}

#[tokio::test]
async fn a_provider_that_is_killed_is_found_again_and_one_that_stops_is_not_found() {
    let (rig, driver, mut provider) = node(&[("A", "one")], &[]).await;
    let server = format!("http://{}", rig.claviger.api);
    let (first, second) = (pod(&rig).await, pod(&rig).await);
    driver.volume(&first, &[]).publish().await.unwrap();
    provider.signal("KILL");
    provider.wait_for_exit();
    // The driver waits for a known provider: a mount during a restart takes longer, and succeeds.
    let volume = driver.volume(&second, &[]);
    let restart = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        provider.restart(&server);
    };
    let (published, ()) = tokio::join!(volume.publish(), restart);
    published.unwrap_or_else(|status| panic!("{status:?}\n{}", driver.log()));
    assert_eq!(volume.files(), files(&[("A", "one")]));

    provider.signal("TERM");
    assert_eq!(provider.wait_for_exit().code(), Some(0));
    // A driver that does not know the provider yet.
    let other = Driver::start(Kube::start().await, &[]).await;
    std::os::unix::fs::symlink(provider.socket(), other.providers().join("claviger.sock")).unwrap();
    let third = pod(&rig).await;
    let status = other.volume(&third, &[]).publish().await.unwrap_err();
    assert!(status.code() == Code::Unknown && status.message().contains("provider not found"), "{status:?}");
}
