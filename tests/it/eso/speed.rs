//! The time until many `ExternalSecrets` are synced, from Claviger and from OpenBao itself, in one run.

use super::{UNBOUND, setup};
use crate::rig::claviger::Claviger;
use crate::rig::eso::Eso;
use crate::rig::installation::InstallationSetup;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The number in an ordinary run; `CLAVIGER_EXTERNAL_SECRETS` sets another.
const DEFAULT_COUNT: usize = 20;

/// The number of namespaces, each with its own ServiceAccount.
const NAMESPACES: usize = 10;
const ROUNDS: usize = 3;
const TIMEOUT: Duration = Duration::from_mins(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_secrets_are_synced_as_fast_as_from_openbao() {
    let count = crate::rig::scale::scale("CLAVIGER_EXTERNAL_SECRETS", DEFAULT_COUNT);
    let setup = setup().await;
    let namespaces: Vec<String> = (0..NAMESPACES).map(|number| format!("load-{number}")).collect();
    let subject =
        json!([{"kubernetes": {"namespaces": ["load-*"], "serviceAccounts": ["build-bot"], "bound": "none"}}]);
    setup.policy(
        "load",
        json!({"subjects": subject, "repos": ["site"], "branches": ["main"], "delivery": ["direct"],
               "secrets": [{"store": "vault", "path": "homelab/{repo}/{branch}"}]}),
    );
    setup.bao.put("homelab/site/main", &[("NPM_TOKEN", "s3cret"), ("REGISTRY", "registry.example")]).await;
    for namespace in &namespaces {
        setup.kube.unbound_token(&format!("{namespace}/build-bot"), UNBOUND).await;
    }
    let role = json!({
        "bound_service_account_names": ["build-bot"], "bound_service_account_namespaces": namespaces,
        "policies": ["claviger"], "ttl": "10m",
    });
    let (status, answer) = setup.bao.call(http::Method::POST, "auth/kubernetes/role/load", &role.to_string()).await;
    assert!((200..300).contains(&status), "{answer}");
    let theirs = store("load-openbao", &setup.bao.address, "homelab", "openbao");
    let InstallationSetup { kube: _kube, bao: _bao, folder, mut config } = setup;
    config["stores"][0]["vault"].as_object_mut().unwrap().remove("cache");
    // The default settings of the operator.
    let limits =
        [("REVIEWSPERSECOND", "50"), ("REQUESTSPERSECONDPERCALLER", "50"), ("FAILURESPERSECONDPERADDRESS", "20")];
    let limits = limits.map(|(limit, value)| (format!("CLAVIGER__LIMITS__{limit}"), value));
    let limits: Vec<(&str, &str)> = limits.iter().map(|(limit, value)| (limit.as_str(), *value)).collect();
    let claviger = Claviger::serve_with(folder, config, &limits);
    let ours = store("load-claviger", &format!("http://{}", claviger.api), "claviger", UNBOUND);
    let eso = Eso::start().await;
    eso.apply(&[ours, theirs]).await;
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (times, store) in times.iter_mut().zip(["load-openbao", "load-claviger"]) {
            // The first round warms the caches and is not counted.
            let took =
                seconds_until_synced(&eso, &namespaces, store, if round == 0 { NAMESPACES } else { count }).await;
            println!("{round}/{ROUNDS} {store}: {took:.1} s");
            if round > 0 {
                times.push(took);
            }
        }
    }
    let [theirs, ours] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    println!("{count} ExternalSecrets: OpenBao {theirs:.1} s, Claviger {ours:.1} s, {:.2} times", ours / theirs);
    // With a few, the polling interval dominates.
    assert!(count < 100 || ours < theirs * 1.5, "{ours} and {theirs}");
}

/// The seconds from the first manifest until all are synced.
async fn seconds_until_synced(eso: &Eso, namespaces: &[String], store: &str, count: usize) -> f64 {
    let manifests: Vec<Value> = (0..count)
        .map(|number| {
            let name = format!("s{number}");
            json!({
                "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
                "metadata": {"name": name, "namespace": namespaces[number % namespaces.len()]},
                "spec": {
                    "refreshInterval": "1h", "secretStoreRef": {"name": store, "kind": "ClusterSecretStore"},
                    "target": {"name": name, "deletionPolicy": "Delete"},
                    "dataFrom": [{"extract": {"key": "site/main"}}],
                },
            })
        })
        .collect();
    let started = Instant::now();
    eso.apply(&manifests).await;
    while eso.count_synced(namespaces).await < count {
        assert!(started.elapsed() < TIMEOUT, "{store}: {} of {count}", eso.count_synced(namespaces).await);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let took = started.elapsed().as_secs_f64();
    eso.delete(&manifests).await;
    while eso.count_synced(namespaces).await > 0 {
        assert!(started.elapsed() < TIMEOUT, "{store}: they are not deleted");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    took
}

fn store(name: &str, server: &str, path: &str, audience: &str) -> Value {
    let account = json!({"name": "build-bot", "audiences": [audience]});
    json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ClusterSecretStore", "metadata": {"name": name},
        "spec": {"provider": {"vault": {
            "server": server, "path": path, "version": "v2",
            "auth": {"kubernetes": {"mountPath": "kubernetes", "role": "load", "serviceAccountRef": account}},
        }}},
    })
}
