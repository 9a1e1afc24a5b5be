//! The duration of a mount, compared with `claviger fetch` in one run. `make mounts` compares many, in an optimised build.

use super::Provider;
use crate::fetch::fetch;
use crate::rig::installation::InstallationSetup;
use crate::rig::scale::scale;
use serde_json::json;
use std::time::Instant;

/// The 99th percentile needs many mounts, so few are not compared.
const DEFAULT_COUNT: usize = 5;
const MIN_TO_COMPARE: usize = 100;

#[tokio::test]
async fn mounts_take_at_most_twice_as_long_as_fetch() {
    let rounds = scale("CLAVIGER_MOUNTS", DEFAULT_COUNT);
    let setup = InstallationSetup::new().await;
    setup.bao.put("homelab/site/main", &[("K", "v")]).await;
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await.pod;
    let server = format!("http://{}", rig.claviger.api);
    let provider = Provider::start(&server);
    let token = provider.folder.path().join("token");
    std::fs::write(&token, &pod.token).unwrap();
    let (mut mounts, mut fetches) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let started = Instant::now();
        let mounted = provider.mount_for(&pod, json!({"repo": "site", "branch": "main"})).await.unwrap();
        mounts.push(started.elapsed());
        assert_eq!(mounted.texts(), [("K", 0o444, "v")]);
        let started = Instant::now();
        let fetched = fetch(&server, &token, &["--repo", "site", "--branch", "main"]);
        fetches.push(started.elapsed());
        assert_eq!((fetched.code, fetched.text()), (Some(0), "export K='v'\n# claviger: 1 keys\n"));
    }
    for times in [&mut mounts, &mut fetches] {
        times.sort();
    }
    let at = |percent: usize| (rounds * percent / 100).min(rounds - 1);
    let [p50, p99] = [50, 99].map(|percent| [mounts[at(percent)], fetches[at(percent)]]);
    println!("{rounds} mounts and fetches: p50 {p50:?}, p99 {p99:?}");
    if rounds >= MIN_TO_COMPARE {
        assert!(p99[0] < p99[1] * 2, "mount and fetch, p99: {p99:?}");
    }
}
