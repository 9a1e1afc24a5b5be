//! `claviger vault-policy`: a real token with the printed policy suffices, and has no other access.

use crate::rig::bao::Bao;
use crate::rig::claviger::{run, write_policies};
use crate::stores::vault_settings;
use claviger::config::cache::Cache;
use claviger::config::stores::{Kind, Store, VaultAuthMethod};
use claviger::metrics::Metrics;
use claviger::model::request_id::RequestId;
use claviger::model::secret_ref::SecretRef;
use claviger::stores::{ReadError, Stores};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A policy for every kind of path. The patterns of one are literal, and the ceiling narrows another.
fn policies() -> [(&'static str, Value); 4] {
    let spec = |paths: &[&str]| {
        let secret = |path: &&str| json!({"store": "vault", "path": path});
        json!({
            "subjects": [{"oidc": {"issuer": "ci", "claims": {"role": "build"}}}],
            "repos": ["**"], "branches": ["**"], "secrets": paths.iter().map(secret).collect::<Vec<_>>(),
        })
    };
    let mut literal =
        spec(&["homelab/named/{repo}/{branch}", "homelab/named/{repo|path}", "homelab/ceiled/{branch}/y"]);
    literal["repos"] = json!(["apps/site", "shop"]);
    literal["branches"] = json!(["main"]);
    [
        ("literal", literal),
        ("narrowed", spec(&["homelab/ceiled/{repo}/x"])),
        ("one", spec(&["homelab/shared", "homelab/site/{branch}", "homelab/trees/{repo|path}", "old/{repo}/a"])),
        ("two", spec(&["homelab/shared", "database/creds/app", "team/kv/{claims.team}"])),
    ]
}

/// Prefixes of all granted paths but those of `homelab/ceiled/main`.
const CEILING: [&str; 8] = [
    "homelab/shared",
    "homelab/site",
    "homelab/trees",
    "homelab/named",
    "homelab/ceiled/site",
    "old",
    "database/creds",
    "team/kv",
];

/// The granted paths, and similar paths beside them.
const READ: [&str; 11] = [
    "homelab/shared",
    "homelab/site/main",
    "homelab/trees/a/b/c",
    "homelab/named/apps~site/main",
    "homelab/named/shop/main",
    "homelab/named/apps/site",
    "homelab/named/shop",
    "homelab/ceiled/site/x",
    "old/site/a",
    "database/creds/app",
    "team/kv/blue",
];
const NOT_READ: [&str; 14] = [
    "homelab/shared2",
    "homelab/shared/x",
    "homelab/site/main/x",
    "homelab/other/main",
    "homelab/named/apps~site/dev",
    "homelab/named/other/main",
    "homelab/named/apps/shop",
    "homelab/ceiled/shop/x",
    "homelab/ceiled/site/y",
    "homelab/ceiled/main/y",
    "old/site/b",
    "old/site/a/x",
    "database/creds/other",
    "team/kv/blue/x",
];

fn config(folder: &Path, address: &str, token: &str) -> String {
    write_policies(&folder.join("policies"), &policies());
    std::fs::write(folder.join("token"), token).unwrap();
    std::fs::write(folder.join("jwks.json"), crate::rig::oidc::TokenIssuer::new().jwks().to_string()).unwrap();
    let ceiling = CEILING.iter().map(|prefix| json!({"store": "vault", "pathPrefix": prefix}));
    let config = json!({
        "authenticators": [{"name": "ci", "oidc": {"issuer": "https://ci.example", "audience": "claviger",
            "jwksFile": "jwks.json", "algorithms": ["ES256"]}}],
        "stores": [{"name": "vault", "vault": {"address": address, "auth": {"tokenFile": "token"}}}],
        "policies": {"directory": "policies", "ceiling": ceiling.collect::<Vec<_>>()},
        "database": {"url": "sqlite::memory:"},
        "server": {"publicUrl": "https://claviger.example"},
    });
    let file = folder.join("claviger.yaml");
    std::fs::write(&file, config.to_string()).unwrap();
    file.display().to_string()
}

async fn bao() -> Bao {
    let bao = Bao::start().await;
    bao.enable_kv_v1("old").await;
    bao.enable_kv_v2("team/kv").await;
    bao.enable_database().await;
    for role in ["app", "other"] {
        bao.database_role(role, "1h", "2h").await;
    }
    for path in READ.iter().chain(&NOT_READ).filter(|path| !path.starts_with("database/")) {
        bao.put(path, &[("K", "v")]).await;
    }
    bao
}

fn stores(address: &str, folder: &Path, token: &str) -> Stores {
    let file = folder.join("narrow-token");
    std::fs::write(&file, token).unwrap();
    let none = Duration::ZERO;
    let cache = Cache { ttl: none, negative_ttl: none, serve_stale_for: none, max_entries: 0 };
    let (auth, timeout) = (VaultAuthMethod::TokenFile(file), Duration::from_secs(5));
    let vault = vault_settings(address, auth, timeout, cache);
    let metrics = Arc::new(Metrics::new(&[], &["vault"]).unwrap());
    Stores::open(&[Store { name: "vault".into(), kind: Kind::Vault(vault) }], &metrics).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_made_from_it_reads_every_path_and_no_neighbour() {
    let (bao, folder) = (bao().await, tempfile::tempdir().unwrap());
    let file = config(folder.path(), &bao.address, &bao.root);
    let (code, hcl, errors) = run(&["vault-policy", "--config", &file, "--online"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let stated = ["homelab=kv2", "old=kv1", "database=dynamic", "team/kv=kv2"];
    let arguments =
        ["vault-policy", "--config", &file].into_iter().chain(stated.iter().flat_map(|one| ["--mount", one]));
    assert_eq!(run(&arguments.collect::<Vec<_>>()), (Some(0), hcl.clone(), String::new()), "stated as it is");

    bao.policy("narrow", &hcl).await;
    let body = json!({"policies": ["narrow"], "ttl": "1h", "no_default_policy": true}).to_string();
    let (status, answer) = bao.call(Method::POST, "auth/token/create", &body).await;
    assert_eq!(status, 200, "{hcl}\n{answer}");
    let token = answer["auth"]["client_token"].as_str().unwrap();

    let stores = stores(&bao.address, folder.path(), token);
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let call = async |method: Method, path: &str, body: &str| {
        let url = format!("{}/v1/{path}", bao.address);
        let sent = http.request(method, url).header("X-Vault-Token", token).body(body.to_owned()).send().await.unwrap();
        let status = sent.status().as_u16();
        (status, serde_json::from_slice::<Value>(&sent.bytes().await.unwrap()).unwrap_or_default())
    };
    for path in READ {
        let secret = SecretRef { store: "vault".into(), path: path.into() };
        let read = stores.read(&secret, &RequestId::random()).await.map(|lease| lease.data.len());
        // Secrets that are created on request are tested below.
        let expected = if path.starts_with("database/") { Err(ReadError::Misconfigured) } else { Ok(1) };
        assert_eq!(read, expected, "{path}\n{hcl}");
    }
    let (status, made) = call(Method::GET, "database/creds/app", "").await;
    assert_eq!(status, 200, "{made}");
    // The leases of a similar role are not accessible.
    let (_, neighbour) = bao.call(Method::GET, "database/creds/other", "").await;
    for (act, parameter, value, expected) in
        [("renew", "increment", json!(60), 200), ("revoke", "sync", json!(true), 204)]
    {
        let body = |lease: &Value| json!({"lease_id": lease["lease_id"], parameter: value}).to_string();
        let path = format!("sys/leases/{act}");
        assert_eq!(call(Method::PUT, &path, &body(&neighbour)).await.0, 403, "{act}");
        assert_eq!(call(Method::PUT, &path, &body(&made)).await.0, expected, "{act}");
    }
    assert_eq!(call(Method::GET, "auth/token/lookup-self", "").await.0, 200);
    assert_eq!(call(Method::POST, "auth/token/renew-self", "{}").await.0, 200);

    for path in NOT_READ {
        let url = match path.split_once('/').unwrap() {
            ("homelab", rest) => format!("homelab/data/{rest}"),
            ("team", rest) => format!("team/kv/data/{}", rest.strip_prefix("kv/").unwrap()),
            _ => path.to_owned(),
        };
        assert_eq!(call(Method::GET, &url, "").await.0, 403, "{url}\n{hcl}");
    }
    for (method, path) in [
        (Method::POST, "homelab/data/shared"),
        (Method::GET, "homelab/metadata/shared"),
        (Method::DELETE, "homelab/data/shared"),
        (Method::GET, "sys/mounts"),
        (Method::POST, "auth/token/create"),
        (Method::PUT, "sys/leases/revoke-prefix/database/creds"),
    ] {
        assert_eq!(call(method.clone(), path, "{\"data\":{}}").await.0, 403, "{method} {path}");
    }
}

#[test]
fn unknown_mounts_are_reported_and_not_guessed() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), "http://127.0.0.1:9", "s.token");
    let (code, printed, errors) = run(&["vault-policy", "--config", &file, "--mount", "homelab=kv2"]);
    assert_eq!((code, printed.as_str()), (Some(2), ""));
    for mount in ["vault: old", "vault: database", "vault: team", "--online", "--mount"] {
        assert!(errors.contains(mount), "{mount}: {errors}");
    }
    assert!(!errors.contains("vault: homelab"), "{errors}");
    let (code, printed, errors) = run(&["vault-policy", "--config", &file, "--online"]);
    assert_eq!((code, printed.as_str()), (Some(1), ""), "{errors}");
    for wrong in [
        &["--store", "local"][..],
        &["--mount", "homelab=kv3"],
        &["--online", "--mount", "a=kv2"],
        &["--online", "--server", "https://claviger.example"],
    ] {
        let arguments = [&["vault-policy", "--config", &file][..], wrong].concat();
        assert_eq!(run(&arguments).0, Some(2), "{wrong:?}");
    }
}
