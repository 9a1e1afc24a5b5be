//! Vault's own clients over TLS with a private CA: their output on success and on failure.

use super::server_with;
use crate::rig::oidc::TestServer;
use crate::rig::vault_client::{CertificateAuthority, Client, ClientKind, ClientOutput};
use serde_json::{Value, json};
use std::path::PathBuf;

const ALL: [ClientKind; 4] = [ClientKind::Go, ClientKind::Hvac, ClientKind::NodeVault, ClientKind::Bao];

struct Setup {
    server: TestServer,
    authority: CertificateAuthority,
}

impl Setup {
    fn new() -> Self {
        Self::with(json!({}))
    }

    fn with(mut config: Value) -> Self {
        let authority = CertificateAuthority::new();
        config["server"] = authority.server_section();
        Self { server: server_with(&config), authority }
    }

    fn client(&self, kind: ClientKind) -> Client<'_> {
        Client { kind, server: &self.server, authority: &self.authority }
    }

    fn token(&self) -> String {
        self.server.issuer.token(&json!({}))
    }

    /// A token in a file with a final newline, as in a pod.
    fn jwt(&self, token: &str) -> PathBuf {
        let file = self.authority.path("jwt");
        std::fs::write(&file, format!("{token}\n")).unwrap();
        file
    }
}

fn values(kind: ClientKind, ran: &ClientOutput) -> Value {
    assert_eq!(ran.code, Some(0), "{kind:?}: {ran:?}");
    let json: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{kind:?}: {error}: {ran:?}"));
    if kind == ClientKind::Bao { json["data"]["data"].clone() } else { json }
}

/// Checks the exit code and the beginning or content of the error output.
#[track_caller]
fn assert_failed(kind: ClientKind, ran: &ClientOutput, code: i32, contains: &str) {
    assert_eq!(ran.code, Some(code), "{kind:?}: {ran:?}");
    assert!(ran.output().contains(contains), "{kind:?} does not say {contains:?}: {ran:?}");
    assert!(!ran.output().contains("s3cret"), "{kind:?}: {ran:?}");
}

#[test]
fn each_client_logs_in_and_reads() {
    let setup = Setup::new();
    let token = setup.token();
    let jwt = setup.jwt(&token);
    for kind in ALL {
        let login = setup.client(kind).log_in(&jwt);
        assert_eq!((login.code, login.stdout.trim()), (Some(0), token.as_str()), "{kind:?}: {login:?}");
        let bundle = values(kind, &setup.client(kind).read(&token, "site/main"));
        let expected =
            json!({"TOKEN": "s3cret", "NUMBER": "12", "TRUE": "true", "LINES": "a\nb\n", "QUOTE": "\"\\$`\u{202e}é"});
        assert_eq!(bundle, expected, "{kind:?}");
        for (path, value) in [("apps~site/feature~x=402", "odd"), ("a=7Eb/main", "tilde"), ("a=20b/100=25", "percent")]
        {
            assert_eq!(values(kind, &setup.client(kind).read(&token, path))["TOKEN"], value, "{kind:?} {path}");
        }
    }
}

#[test]
fn each_client_prints_the_error() {
    let setup = Setup::new();
    let token = setup.token();
    let short = setup.server.issuer.token(&json!({"exp": jwt_now() + 20}));
    for (kind, code, [nothing, denied, spelled, bad]) in [
        (ClientKind::Go, 1, ["ErrSecretNotFound", "ResponseError 403", "apps~site/feature~x", "unauthenticated: "]),
        (
            ClientKind::Hvac,
            1,
            ["InvalidPath", "Forbidden: denied: ", "InvalidRequest: ", "Forbidden: unauthenticated: "],
        ),
        (ClientKind::NodeVault, 1, ["404", "denied: The request", "apps~site/feature~x", "unauthenticated: "]),
        (
            ClientKind::Bao,
            2,
            [
                "No value found at claviger/data/empty/main",
                "denied: The request",
                "apps~site/feature~x",
                "unauthenticated: ",
            ],
        ),
    ] {
        let client = setup.client(kind);
        assert_failed(kind, &client.read(&token, "empty/main"), code, nothing);
        assert_failed(kind, &client.read(&token, "other/main"), code, denied);
        assert_failed(kind, &client.read(&token, "apps/site/feature/x"), code, spelled);
        assert_failed(
            kind,
            &client.read("garbage", "site/main"),
            code,
            if kind == ClientKind::Bao { "403" } else { bad },
        );
        assert_failed(kind, &client.log_in(&setup.jwt("garbage")), code, bad);
        assert_failed(kind, &client.log_in(&setup.jwt(&short)), code, "valid for less than 30 s");
    }
}

fn jwt_now() -> i64 {
    use claviger::model::clock::{Clock as _, SystemClock};
    SystemClock.now().as_second()
}

#[test]
fn each_client_prints_that_a_store_is_down() {
    let setup = Setup::with(json!({
        "stores": [{"name": "local", "vault": {"address": "http://127.0.0.1:9", "auth": {"tokenFile": "/dev/null"}}}],
    }));
    let token = setup.token();
    for (kind, code) in [(ClientKind::Go, 1), (ClientKind::Hvac, 1), (ClientKind::NodeVault, 1), (ClientKind::Bao, 2)] {
        assert_failed(kind, &setup.client(kind).read(&token, "site/main"), code, "store_unavailable: ");
    }
}

#[test]
fn refused_requests_fail_and_print_no_secret() {
    let setup = Setup::new();
    let (token, bao) = (setup.token(), setup.client(ClientKind::Bao));
    let run = |arguments: &[&str]| bao.bao(Some(&token), arguments);
    for arguments in [
        &["kv", "put", "-mount=claviger", "site/main", "K=written"][..],
        &["kv", "patch", "-mount=claviger", "site/main", "K=written"],
        &["kv", "delete", "-mount=claviger", "site/main"],
        &["kv", "list", "-mount=claviger", "site"],
        &["kv", "metadata", "get", "-mount=claviger", "site/main"],
        &["read", "claviger/site/main"],
        &["read", "secret/data/site/main"],
        &["list", "claviger/metadata/site"],
        &["read", "sys/mounts"],
        &["token", "create"],
    ] {
        assert_failed(ClientKind::Bao, &run(arguments), 2, "403");
    }
    assert_failed(
        ClientKind::Bao,
        &run(&["read", "-wrap-ttl=60s", "claviger/data/site/main"]),
        2,
        "response wrapping is not supported",
    );
    let namespaced = run(&["read", "-namespace=team", "claviger/data/site/main"]);
    assert_failed(ClientKind::Bao, &namespaced, 2, "namespaces are not supported");
    assert_failed(
        ClientKind::Bao,
        &run(&["kv", "get", "-mount=claviger", "-version=7", "site/main"]),
        2,
        "No value found",
    );
    assert_eq!(run(&["token", "revoke", "-self"]).code, Some(0));
    assert_eq!(run(&["token", "lookup"]).code, Some(0));
    assert_eq!(run(&["kv", "get", "-mount=claviger", "-field=TOKEN", "site/main"]).stdout, "s3cret");
    assert_eq!(run(&["kv", "get", "-field=TOKEN", "claviger/site/main"]).stdout, "s3cret");
    assert_eq!(run(&["read", "-field=data", "claviger/data/site/main"]).code, Some(0));
    assert!(!setup.server.log().contains("written") && !setup.server.stdout().contains("written"));
}
