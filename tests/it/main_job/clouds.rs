//! The main job with Key Vault and Secret Manager: a ticket and its download, and names in errors and logs.

use crate::rig::claviger::{Claviger, run};
use crate::rig::clouds::azure::{Azure, CLIENT, SCOPE, TENANT};
use crate::rig::clouds::google::{Google, PROJECT, PROVIDER};
use crate::rig::oidc::{TestServer, allow};
use serde_json::{Value, json};

const TOKEN: &str = "header.claims.signature";

/// Both stores, with a token in a file of this folder.
fn stores(azure: &Azure, google: &Google, token_file: &str) -> Value {
    json!([
        {"name": "azure", "azureKeyVault": {
            "vaultUrl": azure.address(), "authorityUrl": azure.address(), "scope": SCOPE, "caFile": azure.ca_file(),
            "auth": {"workloadIdentity": {"tenantId": TENANT, "clientId": CLIENT, "tokenFile": token_file}},
            "timeout": "10s",
        }},
        {"name": "gcp", "gcpSecretManager": {
            "project": PROJECT, "endpointUrl": google.address(), "caFile": google.ca_file(), "values": "text",
            "auth": {"workloadIdentityFederation": {"provider": PROVIDER, "tokenFile": token_file,
                "stsUrl": google.address(), "iamCredentialsUrl": google.address()}},
            "timeout": "10s",
        }},
    ])
}

/// The explanation of a decision, as an administrator reads it.
fn explained(server: &TestServer, branch: &str) -> Value {
    let bearer = format!("Bearer {}", server.issuer.token(&json!({"role": "admin"})));
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let caller = json!({"issuer": "ci", "subject": "build-1", "claims": {"role": "build"}});
    let body = json!({"caller": caller, "repo": "site", "branch": branch});
    let answer = server.send("POST", "/v1/decisions", &headers, body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.text()).unwrap()
}

fn file(claviger: &Claviger, path: &str) -> String {
    claviger.download(path).text()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_build_gets_its_secrets_from_both_clouds() {
    let (azure, google) = (Azure::start(TOKEN).await, Google::start(TOKEN).await);
    let version = azure.put("homelab--site--main", r#"{"TOKEN":"canary-azure-value","PORT":8080}"#);
    azure.put("homelab--site-----4dain", r#"{"TOKEN":"canary-of-another-branch"}"#);
    google.put("shared__npm-token", b"canary-google-value");
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, TOKEN).unwrap();
    let policy = allow(
        &[],
        &json!({"secrets": [
            {"store": "azure", "path": "homelab/{repo}/{branch}"},
            {"store": "gcp", "path": "shared/npm-token", "rename": {"npm-token": "NPM_TOKEN"}},
        ]}),
    );
    let config = json!({
        "stores": stores(&azure, &google, token_file.to_str().unwrap()),
        "administrators": {"static": [{"authenticator": "ci", "claims": {"role": "admin"}}]},
        "telemetry": {"logLevel": "trace"},
    });
    let environment = [
        ("AZURE_AUTHORITY_HOST", "https://127.0.0.1:1"),
        ("AZURE_CLIENT_ID", "another"),
        ("HTTPS_PROXY", "http://127.0.0.1:1"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent"),
    ];
    let server = TestServer::start(&json!({}), &[("site", policy)], &config, &environment);

    let path = server.download_path_for("repo=site&branch=main");
    let expected = "export NPM_TOKEN='canary-google-value'\nexport PORT='8080'\nexport TOKEN='canary-azure-value'\n# claviger: 3 keys\n";
    assert_eq!(file(&server, &path), expected);
    assert_eq!(server.download(&path).status, 410);
    let other = server.download_path_for("repo=site&branch=Main");
    assert!(file(&server, &other).contains("canary-of-another-branch"));
    let none = server.download_path_for("repo=site&branch=none");
    assert_eq!(file(&server, &none), "export NPM_TOKEN='canary-google-value'\n# claviger: 1 keys\n");
    let long = server.asks(&format!("repo=site&branch={}", "b".repeat(120)));
    assert_eq!((long.status, long.code().as_str()), (502, "store_misconfigured"));

    let events = server.audit_events();
    assert_eq!(events[0]["secrets"][0], json!({"store": "azure", "path": "homelab/site/main", "version": version}));
    assert_eq!(events[0]["secrets"][1], json!({"store": "gcp", "path": "shared/npm-token", "version": "1"}));
    let answer = explained(&server, "feature/Main");
    let names: Vec<_> = answer["secrets"].as_array().unwrap().iter().map(|secret| &secret["storeName"]).collect();
    assert_eq!(names, [&json!("homelab--site--feature---7e---4dain"), &json!("shared__npm-token")]);
    assert_eq!(explained(&server, &"b".repeat(120))["secrets"][0]["storeName"], Value::Null);

    let said = server.stdout() + &server.log();
    for secret in ["canary", TOKEN, "eyJ.", "ya29"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
    assert!(!server.log().contains("homelab"), "no path in the log: {}", server.log());

    let config_file = server.folder.path().join("claviger.yaml").display().to_string();
    let (code, out, said) = run(&["check", "--config", &config_file, "--online"]);
    assert_eq!(code, Some(0), "{out}{said}");
    for line in ["store azure: reached", "store gcp: reached", "store azure: homelab/*/* is named homelab--*--*"] {
        assert!(out.contains(line), "{out}");
    }
    std::fs::write(&token_file, "another.token.here").unwrap();
    let (code, out, _) = run(&["check", "--config", &config_file, "--online"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("store azure: it refuses the broker's credentials"), "{out}");
}
