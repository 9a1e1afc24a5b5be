//! The command line: checks of the configuration, messages and exit codes.

use crate::rig::claviger::{Claviger, run, write_policies};
use crate::rig::installation::InstallationSetup;
use crate::rig::kube::User;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const CONFIG: &str = "claviger.yaml";
const JWKS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// Writes a configuration and runs a command on it.
fn run_on(folder: &Path, config: &Value, arguments: &[&str]) -> (Option<i32>, String, String) {
    let file = folder.join(CONFIG);
    let mut config = config.clone();
    config["database"] = json!({"url": "sqlite://claviger.db"});
    fs::write(&file, config.to_string()).unwrap();
    let file = file.display().to_string();
    run(&[arguments, &["--config", &file]].concat())
}

#[test]
fn help_exits_with_0_and_an_invalid_command_line_with_2() {
    let (code, help, said) = run(&["--help"]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    for command in ["serve", "check", "dev"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
    }
    let (code, version, _) = run(&["--version"]);
    assert_eq!((code, version), (Some(0), format!("claviger {}\n", env!("CARGO_PKG_VERSION"))));
    for wrong in
        [&[][..], &["sreve"], &["serve"], &["serve", "--config"], &["dev", "--listen", "nowhere"], &["--verbose"]]
    {
        let (code, printed, said) = run(wrong);
        assert_eq!((code, printed.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(!said.is_empty(), "{wrong:?}");
    }
}

#[test]
fn all_faults_of_a_configuration_are_reported_together() {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({
        "server": {"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0", "tls": {"certFile": "no.crt", "keyFile": "no.key"}},
        "authenticators": [{"name": "cluster", "kubernetes": {"cacheTtl": "1 day"}}],
        "stores": [{"name": "vault", "vault": {"adress": "https://vault:8200"}}],
        "tickets": {"ttl": "0s", "bindTo": "moon"},
        "surprise": true,
    });
    for command in ["serve", "check"] {
        let (code, printed, said) = run_on(folder.path(), &config, &[command]);
        assert_eq!((code, printed.as_str()), (Some(2), ""), "{said}");
        for place in [
            "server.tls.certFile",
            "server.tls.keyFile",
            "authenticators[0].kubernetes.cacheTtl",
            "stores[0].vault.adress",
            "tickets.ttl",
            "tickets.bindTo",
            "surprise",
        ] {
            assert!(said.contains(&format!("{CONFIG}: {place}: ")), "{place}:\n{said}");
        }
        assert!(!said.contains("moon"), "a value may be a secret in the wrong place");
    }
    let (code, _, said) = run(&["check", "--config", "/no/such/file"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("/no/such/file"), "{said}");
}

#[test]
fn check_reports_faults_in_the_files_that_a_configuration_names() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("tls.crt", "hunter2"), ("tls.key", ""), ("token", ""), ("kubeconfig", "")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    write_policies(&folder.path().join("policies"), &[("p", json!({"repos": "site"}))]);
    let config = json!({
        "server": {"listen": "127.0.0.1:0", "tls": {"certFile": "tls.crt", "keyFile": "tls.key"}},
        "authenticators": [{"name": "cluster", "kubernetes": {"kubeconfig": "kubeconfig"}}],
        "stores": [{"name": "vault", "vault": {"address": "https://vault:8200", "auth": {"tokenFile": "token"}}}],
        "policies": {"directory": "policies"},
    });
    let (code, printed, said) = run_on(folder.path(), &config, &["check"]);
    assert_eq!((code, printed.as_str()), (Some(2), ""), "{said}");
    assert!(said.contains("authenticators[0].kubernetes.kubeconfig: is not a kubeconfig"), "{said}");
    assert!(said.contains("server.tls: ") && said.contains("p.yaml, document 1, spec.repos"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn check_and_serve_report_all_unusable_files_of_stores() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["vault".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let files =
        [("token", "t"), ("bad", "hunter2"), ("good.crt", &certificate), ("good.key", &key), ("jwks.json", JWKS)];
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let config = |ca: &str, client: &str, file: &str| {
        let login = json!({"tokenFile": "token"});
        let federation = json!({"clientSecret": {"tenantId": "t", "clientId": "c", "clientSecretFile": "token"}});
        json!({
            "server": {"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0"},
            "authenticators": [{"name": "ci", "oidc": {"issuer": "https://ci.example", "jwksFile": "jwks.json"}}],
            "stores": [
                {"name": "vault", "vault": {
                    "address": "https://vault:8200", "auth": login, "caFile": ca,
                    "clientCertFile": client, "clientKeyFile": "good.key",
                }},
                {"name": "azure", "azureKeyVault": {
                    "vaultUrl": "https://v.vault.azure.net", "auth": federation, "caFile": ca,
                }},
                {"name": "local", "file": {"path": file}},
            ],
            "audit": {"keyFile": file},
        })
    };
    let bad = config("bad", "bad", "bad");
    let places = [
        "stores[0].vault.caFile: ",
        "stores[0].vault.clientCertFile: ",
        "stores[1].azureKeyVault.caFile: ",
        "stores[2].file.path: ",
        "audit.keyFile: ",
    ];
    for command in ["check", "serve"] {
        let (code, printed, said) = run_on(folder.path(), &bad, &[command]);
        assert_eq!((code, printed.as_str()), (Some(2), ""), "{said}");
        for place in places {
            assert!(said.lines().any(|line| line.starts_with(place)), "{command}, {place}: {said}");
        }
        assert!(!said.contains("hunter2"), "{said}");
    }
    fs::write(folder.path().join("secrets.yaml"), "{}").unwrap();
    let mut good = config("good.crt", "good.crt", "secrets.yaml");
    good["audit"] = json!({});
    let (code, printed, said) = run_on(folder.path(), &good, &["check"]);
    assert_eq!((code, printed.as_str()), (Some(0), "the configuration is good, with 0 policies\n"), "{said}");
}

#[test]
fn warnings_are_printed_and_do_not_change_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("token", "t"), ("secrets.yaml", "{}"), ("jwks.json", JWKS)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let with = |server: Value, issuer: &str, vault: &str| {
        let mut server = server;
        (server["listen"], server["opsListen"]) = (json!("127.0.0.1:0"), json!("127.0.0.1:0"));
        json!({
            "server": server,
            "authenticators": [{"name": "ci", "oidc": {"issuer": issuer, "jwksFile": "jwks.json"}}],
            "stores": [{"name": "vault", "vault": {"address": vault, "auth": {"tokenFile": "token"}}}],
        })
    };
    let good = with(json!({}), "https://ci.example", "https://vault:8200");
    let (code, printed, said) = run_on(folder.path(), &good, &["check"]);
    assert_eq!((code, printed.as_str(), said.as_str()), (Some(0), "the configuration is good, with 0 policies\n", ""));
    for (config, place) in [
        (
            with(json!({"trustedProxies": ["::ffff:10.0.0.0/104"]}), "https://ci.example", "https://vault:8200"),
            "server.trustedProxies[0]",
        ),
        (with(json!({}), "https://kubernetes.default.svc", "https://vault:8200"), "authenticators[0].oidc.issuer"),
        (with(json!({}), "https://ci.example", "http://vault:8200"), "stores[0].vault.address"),
    ] {
        let (code, printed, said) = run_on(folder.path(), &config, &["check"]);
        assert_eq!((code, printed.as_str()), (Some(0), "the configuration is good, with 0 policies\n"), "{said}");
        assert!(said.starts_with(&format!("warning: {place}: ")) && said.lines().count() == 1, "{said}");
    }
    let everybody = with(json!({"trustedProxies": ["0.0.0.0/0"]}), "https://ci.example", "https://vault:8200");
    let (code, _, said) = run_on(folder.path(), &everybody, &["check"]);
    assert_eq!(code, Some(2));
    assert!(said.contains(": server.trustedProxies[0]: is everybody"), "{said}");
}

#[tokio::test]
async fn check_online_reports_which_servers_can_be_reached() {
    let mut setup = InstallationSetup::new().await;
    setup.config["server"] = json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0"});
    let check = |setup: &InstallationSetup| run_on(setup.folder.path(), &setup.config, &["check", "--online"]);
    let (code, printed, said) = check(&setup);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[..2], ["the configuration is good, with 1 policies", "authenticators: reached"], "{printed}");
    // Another test may install the policy at this API server for a while.
    assert!(lines[2].starts_with("admission policy of cluster: "), "{printed}");
    assert_eq!(lines[3..], ["store vault: reached"], "{printed}");

    let stopped = setup.kube.plane.kubeconfig_of_stopped(User::Broker);
    setup.config["authenticators"][0]["kubernetes"]["kubeconfig"] = json!(stopped);
    setup.bao.seal().await;
    let (code, printed, _) = check(&setup);
    assert_eq!(code, Some(1), "{printed}");
    for line in ["authenticators[0]: ", "\nstore vault: it is sealed\n"] {
        assert!(printed.contains(line), "{printed}");
    }
    // Without `--online`, no server is contacted.
    assert_eq!(run_on(setup.folder.path(), &setup.config, &["check"]).0, Some(0));
}

#[tokio::test]
async fn a_configuration_that_passes_check_can_be_served() {
    let mut setup = InstallationSetup::new().await;
    setup.config["server"] = json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0"});
    assert_eq!(run_on(setup.folder.path(), &setup.config, &["check"]).0, Some(0));
    Claviger::serve_in(setup.folder, setup.config);
}
