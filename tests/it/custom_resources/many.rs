//! Many policies: all are read at the start, and a changed one is active soon. `make custom-resources` makes the run for
//! docs/PERFORMANCE.md.

use super::cluster::{PolicyCluster, cluster_policy};
use super::walk::is_allowed;
use crate::rig::claviger::{Claviger, manifest, wait_until};
use crate::rig::kube::User;
use crate::rig::scale::scale;
use futures_util::StreamExt as _;
use http::Request;
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

const PATH: &str = "/apis/claviger.dev/v1alpha1/clusterpolicies";

async fn create(client: &kube::Client, object: Value) {
    let request = Request::post(PATH).header("content-type", "application/json").body(object.to_string().into_bytes());
    client.request::<Value>(request.unwrap()).await.unwrap();
}

/// The policy of one of many teams.
fn numbered_policy(at: usize) -> Value {
    let mut object = cluster_policy(&format!("p-{at:05}"), &format!("repo-{at}"));
    object["spec"]["subjects"][0]["kubernetes"]["namespaces"] = json!([format!("ns-{at}")]);
    object
}

/// Starts a broker. Returns it, the time until it is ready, and its resident memory.
fn started(start: impl FnOnce() -> Claviger, policies: usize) -> (Claviger, Duration, u64) {
    let began = Instant::now();
    let claviger = start();
    while !claviger.is_ready() {
        assert!(began.elapsed() < Duration::from_mins(2), "{}", claviger.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = began.elapsed();
    assert_eq!(claviger.count("claviger_policies"), u64::try_from(policies).unwrap());
    let resident = claviger.resident_memory();
    (claviger, took, resident)
}

#[tokio::test]
async fn many_policies_are_read_and_a_change_is_active_within_two_seconds() {
    let many = scale("CLAVIGER_TEST_POLICIES", 300);
    let cluster = PolicyCluster::exclusive().await;
    let client = cluster.kube.plane.client(User::Admin).await;
    futures_util::stream::iter((0..many).map(|at| create(&client, numbered_policy(at))))
        .buffer_unordered(16)
        .count()
        .await;
    let pod = cluster.pod("ci/build-bot").await;
    let mut config = cluster.config();
    let (claviger, took, resident) = started(|| PolicyCluster::serve(config.clone()), many);

    // Adds and deletes a policy; measures from the answer of the API server until the change is active.
    let mut times = Vec::new();
    for _ in 0..scale("CLAVIGER_TEST_CHANGES", 20) {
        create(&client, cluster_policy("change", "site")).await;
        let made = Instant::now();
        wait_until("the change", || is_allowed(&claviger, &pod));
        times.push(made.elapsed());
        cluster.kubectl(&["delete", "ccpol", "change"]).succeeded();
        wait_until("the deletion", || !is_allowed(&claviger, &pod));
    }
    times.sort();
    assert!(times[times.len() - 1] < Duration::from_secs(2), "{times:?}");
    wait_until("all statuses", || {
        let said = cluster.kubectl(&[
            "get",
            "ccpol",
            &format!("p-{:05}", many - 1),
            "-o",
            "jsonpath={.status.conditions[0].reason}",
        ]);
        said.succeeded() == "Accepted"
    });
    drop(claviger);

    // The same policies from a directory.
    let folder = tempfile::tempdir().unwrap();
    for at in 0..many {
        let spec = &numbered_policy(at)["spec"];
        fs::write(folder.path().join(format!("p-{at:05}.yaml")), manifest(&format!("p-{at:05}"), spec)).unwrap();
    }
    config["policies"] = json!({"directory": folder.path()});
    let (_claviger, from_files, of_files) = started(|| PolicyCluster::serve(config), many);
    println!(
        "{many} policies: ready after {took:?} ({from_files:?} from files), {} MiB resident ({} MiB from files), a change p50 {:?}, p99 {:?}, longest {:?}",
        resident >> 20,
        of_files >> 20,
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1],
    );
}
