//! A mount beside `claviger fetch`, in one run.

use super::Provider;
use crate::fetch::fetch;
use crate::rig::installation::Plan;
use serde_json::json;
use std::time::{Duration, Instant};

const ROUNDS: usize = 20;

#[tokio::test]
async fn a_mount_takes_less_than_twice_as_long_as_fetch() {
    let plan = Plan::new().await;
    plan.bao.put("homelab/site/main", &[("K", "v")]).await;
    let rig = plan.start();
    let pod = rig.pod("ci/build-bot").await.pod;
    let server = format!("http://{}", rig.claviger.api);
    let provider = Provider::start(&server);
    let token = provider.folder.path().join("token");
    std::fs::write(&token, &pod.token).unwrap();
    let (mut mounts, mut fetches) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let started = Instant::now();
        provider.mounts(&pod, json!({"repo": "site", "branch": "main"})).await.unwrap();
        mounts.push(started.elapsed());
        let started = Instant::now();
        assert_eq!(fetch(&server, &token, &["--repo", "site", "--branch", "main"]).code, Some(0));
        fetches.push(started.elapsed());
    }
    let second_longest = |times: &mut Vec<Duration>| {
        times.sort();
        times[ROUNDS - 2]
    };
    let (mount, fetched) = (second_longest(&mut mounts), second_longest(&mut fetches));
    println!("mount {mount:?}, fetch {fetched:?}");
    assert!(mount < fetched * 2, "mount {mount:?}, fetch {fetched:?}");
}
