//! The chart's pod, run: its configuration is valid, and it serves with the chart's RBAC permissions.

use super::kubelet::Container;
use super::rendered::{NAMESPACE, Rendered, render, render_values};
use super::{SETS, value_set};
use crate::rig::claviger::Claviger;
use crate::rig::installation::InstallationSetup;
use crate::rig::kube::User;
use crate::rig::kube::actors::Kube;
use http::Request;
use serde_json::{Value, json};

#[tokio::test]
async fn the_configuration_of_every_value_set_is_valid() {
    let kube = Kube::start().await;
    for (name, policies) in [("default", 0), ("sqlite", 2), ("postgres", 0), ("bare", 0), ("openshift", 0), ("csi", 0)]
    {
        let container = Container::of(&render(&value_set(name)), &kube).await;
        let output = container.command(&["check", "--config", "/etc/claviger/claviger.yaml"]).output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let why = String::from_utf8(output.stderr).unwrap();
        assert_eq!(told.trim(), format!("the configuration is good, with {policies} policies"), "{name}: {why}");
    }
    let container = Container::of(&render(&value_set("clouds")), &kube).await;
    let output = container.command(&["check", "--config", "/etc/claviger/claviger.yaml"]).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    if cfg!(all(feature = "azure", feature = "gcp")) {
        let names =
            "store azure: homelab/*/* is named homelab--*--*\nstore gcp: homelab/shared is named homelab__shared";
        assert_eq!(told.trim(), format!("the configuration is good, with 1 policies\n{names}"));
    } else {
        assert!(String::from_utf8(output.stderr).unwrap().contains("was made without its feature"));
    }
    assert_eq!(SETS.len(), 7);
    // A store that needs a token which no volume provides.
    let broken = render_values(&json!({"storeTokens": []})).unwrap();
    let container = Container::of(&broken, &kube).await;
    let output = container.command(&["check", "--config", "/etc/claviger/claviger.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("tokenFile"));
}

/// Creates an object at the API server.
async fn apply(client: &kube::Client, object: &Value) {
    let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    let name = object["metadata"]["name"].as_str().unwrap();
    let place = object["metadata"]["namespace"].as_str().map_or_else(String::new, |n| format!("namespaces/{n}/"));
    let path = format!("/apis/rbac.authorization.k8s.io/v1/{place}{plural}/{name}");
    let request = Request::patch(format!("{path}?fieldManager=chart&force=true"));
    let request = request.header("content-type", "application/apply-patch+yaml");
    client.request::<Value>(request.body(object.to_string().into_bytes()).unwrap()).await.unwrap();
}

async fn grant(rendered: &Rendered, client: &kube::Client) {
    for kind in ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"] {
        for object in rendered.all(kind) {
            apply(client, object).await;
        }
    }
}

#[tokio::test]
async fn the_pod_serves_with_the_permissions_and_tokens_of_the_chart() {
    let setup = InstallationSetup::new().await;
    setup.bao.put("homelab/site/main", &[("GITHUB_TOKEN", "one of the chart")]).await;
    setup.bao.kubernetes_role("chart", [NAMESPACE, "rel-claviger"], &["claviger"]).await;
    let auth = json!({"role": "chart", "tokenFile": "/var/run/secrets/claviger/vault-token"});
    let rendered = render_values(&json!({
        "config": {"stores": [{"name": "vault", "vault": {"address": setup.bao.address, "auth": {"kubernetes": auth}}}]},
        "storeTokens": [{"file": "vault-token", "audience": "openbao"}],
        "policies": {"site-builds": {
            "subjects": [{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}],
            "repos": ["site"], "branches": ["main"],
            "secrets": [{"store": "vault", "path": "homelab/{repo}/{branch}"}],
        }},
        "extraEnv": [
            {"name": "CLAVIGER__SERVER__LISTEN", "value": "127.0.0.1:0"},
            {"name": "CLAVIGER__SERVER__OPSLISTEN", "value": "127.0.0.1:0"},
        ],
    }));
    let rendered = rendered.unwrap();
    let container = Container::of(&rendered, &setup.kube).await;
    let command = container.command(&["serve", "--config", "/etc/claviger/claviger.yaml"]);
    let claviger = Claviger::spawn_command(setup.folder, command);
    let pod = setup.kube.pod("ci/build-bot").await;

    // Before its permissions are bound, it cannot review tokens and reports that.
    let early = claviger.ask(&pod.token, "repo=site&branch=main");
    assert_eq!((early.status, early.code().as_str()), (503, "token_review_unavailable"), "{}", claviger.log());

    grant(&rendered, &setup.kube.plane.client(User::Admin).await).await;
    let mut answer = claviger.ask(&pod.token, "repo=site&branch=main");
    for _ in 0..100 {
        if answer.status == 201 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await; // the API server learns of new rights by watching
        answer = claviger.ask(&pod.token, "repo=site&branch=main");
    }
    let url = answer.header("location").unwrap_or_else(|| panic!("{answer:?}\n{}", claviger.log()));
    let path = url.strip_prefix("http://rel-claviger.claviger.svc:8080").unwrap();
    assert_eq!(claviger.download(path).text(), "export GITHUB_TOKEN='one of the chart'\n# claviger: 1 keys\n");
    let other = claviger.ask(&setup.kube.pod("ci/other-bot").await.token, "repo=site&branch=main");
    assert_eq!((other.status, other.code().as_str()), (403, "denied"));
    assert!(container.root.path().join("var/lib/claviger/claviger.db").exists());
}

#[tokio::test]
async fn with_namespaces_only_their_pods_are_readable() {
    let setup = InstallationSetup::new().await;
    setup.bao.put("homelab/x", &[("K", "v")]).await;
    setup.bao.kubernetes_role("narrow", [NAMESPACE, "narrow"], &["claviger"]).await;
    let auth = json!({"role": "narrow", "tokenFile": "/var/run/secrets/claviger/vault-token"});
    let rendered = render_values(&json!({
        "fullnameOverride": "narrow",
        "rbac": {"namespaces": ["narrow-a", "narrow-b"], "tekton": false},
        "config": {"stores": [{"name": "vault", "vault": {"address": setup.bao.address, "auth": {"kubernetes": auth}}}]},
        "storeTokens": [{"file": "vault-token", "audience": "openbao"}],
        "policies": {"all": {
            "subjects": [{"kubernetes": {"namespaces": ["narrow-*"], "serviceAccounts": ["build-bot"]}}],
            "repos": ["site"], "branches": ["main"], "secrets": [{"store": "vault", "path": "homelab/x"}],
        }},
        "extraEnv": [
            {"name": "CLAVIGER__SERVER__LISTEN", "value": "127.0.0.1:0"},
            {"name": "CLAVIGER__SERVER__OPSLISTEN", "value": "127.0.0.1:0"},
        ],
    }))
    .unwrap();
    let mut pods = Vec::new();
    for namespace in ["narrow-a", "narrow-b", "narrow-c"] {
        pods.push(setup.kube.pod(&format!("{namespace}/build-bot")).await);
    }
    grant(&rendered, &setup.kube.plane.client(User::Admin).await).await;
    let container = Container::of(&rendered, &setup.kube).await;
    let command = container.command(&["serve", "--config", "/etc/claviger/claviger.yaml"]);
    let claviger = Claviger::spawn_command(setup.folder, command);
    let [first, second, other] = &pods[..] else { panic!() };
    let mut answer = claviger.ask(&first.token, "repo=site&branch=main");
    for _ in 0..100 {
        if answer.status == 201 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await; // the API server learns of new rights by watching
        answer = claviger.ask(&first.token, "repo=site&branch=main");
    }
    assert_eq!(answer.status, 201, "{answer:?}\n{}", claviger.log());
    assert_eq!(claviger.ask(&second.token, "repo=site&branch=main").status, 201);
    let refused = claviger.ask(&other.token, "repo=site&branch=main");
    assert_eq!((refused.status, refused.code().as_str()), (503, "token_review_unavailable"), "{}", claviger.log());
}
