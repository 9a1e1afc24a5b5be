//! With a real OpenBao as the store: creation times of secrets, and access to dynamic secrets.

use super::{VaultClient as _, assert_errors};
use crate::rig::bao::Bao;
use crate::rig::installation::InstallationSetup;
use crate::rig::oidc::{TestServer, allow};
use claviger::model::clock::{Clock as _, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

async fn totp(bao: &Bao) {
    bao.enable("totp", r#"{"type":"totp"}"#).await;
    let key = r#"{"generate":true,"issuer":"claviger","account_name":"ci"}"#;
    assert_eq!(bao.call(Method::POST, "totp/keys/app", key).await.0, 200);
}

fn server_on(bao: &Bao, folder: &TempDir) -> TestServer {
    let token = folder.path().join("token");
    std::fs::write(&token, &bao.root).unwrap();
    let of = |repo: &str, path: &str, lease: &str| {
        let mut spec = allow(&[path], &json!({"repos": [repo], "delivery": ["direct", "ticket"]}));
        spec["secrets"][0]["lease"] = json!(lease);
        spec
    };
    let policies = [
        ("kept", of("site", "homelab/{repo}/{branch}", "perPod")),
        ("own", of("own", "totp/code/app", "perPod")),
        ("shared", of("shared", "totp/code/app", "shared")),
    ];
    let store = json!({"address": bao.address, "auth": {"tokenFile": token}, "cache": {"ttl": "1s"}});
    TestServer::start(&json!({}), &policies, &json!({"stores": [{"name": "local", "vault": store}]}), &[])
}

#[tokio::test]
async fn the_creation_time_of_a_bundle_is_that_of_its_newest_secret() {
    let (bao, folder) = (Bao::start().await, tempfile::tempdir().unwrap());
    bao.put("homelab/site/main", &[("K", "1")]).await;
    let server = server_on(&bao, &folder);
    let metadata = || server.vault_read("/v1/claviger/data/site/main").json()["data"]["metadata"].clone();
    let made = async || {
        bao.call(Method::GET, "homelab/data/site/main", "").await.1["data"]["metadata"]["created_time"].clone()
    };
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let first = metadata();
    assert_eq!(time(&first["created_time"]), time(&made().await));
    assert_eq!(metadata(), first, "the cached read has the same metadata");
    bao.put("homelab/site/main", &[("K", "2")]).await;
    let newer = made().await;
    crate::rig::claviger::wait_until("the newer version", || time(&metadata()["created_time"]) == time(&newer));
    assert_ne!(metadata()["version"], first["version"]);
}

#[tokio::test]
async fn dynamic_secrets_require_a_pod() {
    let (bao, folder) = (Bao::start().await, tempfile::tempdir().unwrap());
    totp(&bao).await;
    let server = server_on(&bao, &folder);
    let shared = server.vault_read("/v1/claviger/data/shared/main");
    assert!(shared.status == 200 && shared.json()["data"]["data"]["code"].is_string(), "{shared:?}");
    assert_errors(&server.vault_read("/v1/claviger/data/own/main"), 403, "not_pod_bound: ");
    let event = server.audit_events().pop().unwrap();
    assert_eq!(
        (&event["type"], &event["outcome"], &event["reason"]),
        (&json!("secrets.read"), &json!("denied"), &json!("not_pod_bound"))
    );
    assert_eq!(server.asks("repo=own&branch=main").status, 201, "tickets are still issued");
}

/// The pod's own token, reviewed by a real API server.
#[tokio::test]
async fn a_pod_logs_in_and_reads_until_it_is_gone() {
    let setup = InstallationSetup::new().await;
    totp(&setup.bao).await;
    setup.bao.policy("claviger", "path \"homelab/data/*\" { capabilities = [\"read\"] }\npath \"totp/code/app\" { capabilities = [\"read\"] }").await;
    setup.bao.put("homelab/site/main", &[("TOKEN", "s3cret")]).await;
    setup.policy("direct", json!({
        "subjects": [{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["vault-bot"]}}],
        "repos": ["site"], "branches": ["main"], "delivery": ["direct"],
        "secrets": [{"store": "vault", "path": "homelab/{repo}/{branch}"}, {"store": "vault", "path": "totp/code/app"}],
    }));
    let rig = setup.start();
    let pod = rig.pod("ci/vault-bot").await.pod;
    let log_in = |token: &str| {
        let body = json!({"jwt": token, "role": "ci"}).to_string();
        rig.claviger.send("PUT", "/v1/auth/kubernetes/login", &[], body.as_bytes())
    };
    let read = |token: &str| rig.claviger.send("GET", "/v1/claviger/data/site/main", &[("X-Vault-Token", token)], b"");
    let login = log_in(&pod.token).json();
    assert_eq!(login["auth"]["client_token"], pod.token.as_str());
    assert!((590..=600).contains(&login["auth"]["lease_duration"].as_i64().unwrap()), "{login}");
    let bundle = read(&pod.token);
    assert_eq!(bundle.status, 200, "{bundle:?}");
    assert!(bundle.json()["data"]["data"]["code"].is_string() && bundle.json()["data"]["data"]["TOKEN"] == "s3cret");
    let looked_up =
        rig.claviger.send("GET", "/v1/auth/token/lookup-self", &[("X-Vault-Token", &pod.token)], b"").json();
    assert_eq!(looked_up["data"]["display_name"], "cluster-system:serviceaccount:ci:vault-bot");
    assert!(looked_up["data"]["creation_time"].as_i64().unwrap() <= SystemClock.now().as_second());

    let other = rig.pod("ci/other-bot").await.pod;
    assert_errors(&read(&other.token), 403, "denied: ");
    let unbound = rig.kube.unbound_token("ci/vault-bot", "claviger").await;
    assert_errors(&log_in(&unbound), 403, "not_pod_bound: ");
    assert_errors(&read(&unbound), 403, "not_pod_bound: ");
    assert_errors(&log_in(&pod.token_for("vault").await), 403, "unauthenticated: ");
    pod.delete().await;
    crate::rig::claviger::wait_until("the token to be refused", || read(&pod.token).status == 403);
    assert_errors(&read(&pod.token), 403, "unauthenticated: ");
}
