//! Vault's own clients over TLS with a private CA: their output on success and on failure.

use super::edge_with;
use crate::rig::oidc::Edge;
use crate::rig::vault_client::{Authority, Client, Kind, Ran};
use serde_json::{Value, json};
use std::path::PathBuf;

const ALL: [Kind; 4] = [Kind::Go, Kind::Hvac, Kind::NodeVault, Kind::Bao];

struct Setup {
    edge: Edge,
    authority: Authority,
}

impl Setup {
    fn new() -> Self {
        Self::with(json!({}))
    }

    fn with(mut config: Value) -> Self {
        let authority = Authority::new();
        config["server"] = authority.server();
        Self { edge: edge_with(&config), authority }
    }

    fn client(&self, kind: Kind) -> Client<'_> {
        Client { kind, edge: &self.edge, authority: &self.authority }
    }

    fn token(&self) -> String {
        self.edge.issuer.token(&json!({}))
    }

    /// A token in a file with a final newline, as in a pod.
    fn jwt(&self, token: &str) -> PathBuf {
        let file = self.authority.path("jwt");
        std::fs::write(&file, format!("{token}\n")).unwrap();
        file
    }
}

fn values(kind: Kind, ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{kind:?}: {ran:?}");
    let json: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{kind:?}: {error}: {ran:?}"));
    if kind == Kind::Bao { json["data"]["data"].clone() } else { json }
}

/// Checks the exit code and the beginning or content of the error output.
#[track_caller]
fn assert_failed(kind: Kind, ran: &Ran, code: i32, contains: &str) {
    assert_eq!(ran.code, Some(code), "{kind:?}: {ran:?}");
    assert!(ran.said().contains(contains), "{kind:?} does not say {contains:?}: {ran:?}");
    assert!(!ran.said().contains("s3cret"), "{kind:?}: {ran:?}");
}

#[test]
fn each_logs_in_and_reads() {
    let setup = Setup::new();
    let token = setup.token();
    let jwt = setup.jwt(&token);
    for kind in ALL {
        let login = setup.client(kind).logs_in(&jwt);
        assert_eq!((login.code, login.stdout.trim()), (Some(0), token.as_str()), "{kind:?}: {login:?}");
        let bundle = values(kind, &setup.client(kind).reads(&token, "site/main"));
        let expected =
            json!({"TOKEN": "s3cret", "NUMBER": "12", "TRUE": "true", "LINES": "a\nb\n", "QUOTE": "\"\\$`\u{202e}é"});
        assert_eq!(bundle, expected, "{kind:?}");
        for (path, value) in [("apps~site/feature~x=402", "odd"), ("a=7Eb/main", "tilde"), ("a=20b/100=25", "percent")]
        {
            assert_eq!(values(kind, &setup.client(kind).reads(&token, path))["TOKEN"], value, "{kind:?} {path}");
        }
    }
}

#[test]
fn each_tells_what_went_wrong() {
    let setup = Setup::new();
    let token = setup.token();
    let short = setup.edge.issuer.token(&json!({"exp": jwt_now() + 20}));
    for (kind, code, [nothing, denied, spelled, bad]) in [
        (Kind::Go, 1, ["ErrSecretNotFound", "ResponseError 403", "apps~site/feature~x", "unauthenticated: "]),
        (Kind::Hvac, 1, ["InvalidPath", "Forbidden: denied: ", "InvalidRequest: ", "Forbidden: unauthenticated: "]),
        (Kind::NodeVault, 1, ["404", "denied: The request", "apps~site/feature~x", "unauthenticated: "]),
        (
            Kind::Bao,
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
        assert_failed(kind, &client.reads(&token, "empty/main"), code, nothing);
        assert_failed(kind, &client.reads(&token, "other/main"), code, denied);
        assert_failed(kind, &client.reads(&token, "apps/site/feature/x"), code, spelled);
        assert_failed(kind, &client.reads("garbage", "site/main"), code, if kind == Kind::Bao { "403" } else { bad });
        assert_failed(kind, &client.logs_in(&setup.jwt("garbage")), code, bad);
        assert_failed(kind, &client.logs_in(&setup.jwt(&short)), code, "valid for less than 30 s");
    }
}

fn jwt_now() -> i64 {
    use claviger::model::clock::{Clock as _, SystemClock};
    SystemClock.now().as_second()
}

#[test]
fn each_tells_that_a_store_is_down() {
    let setup = Setup::with(json!({
        "stores": [{"name": "local", "vault": {"address": "http://127.0.0.1:9", "auth": {"tokenFile": "/dev/null"}}}],
    }));
    let token = setup.token();
    for (kind, code) in [(Kind::Go, 1), (Kind::Hvac, 1), (Kind::NodeVault, 1), (Kind::Bao, 2)] {
        assert_failed(kind, &setup.client(kind).reads(&token, "site/main"), code, "store_unavailable: ");
    }
}

#[test]
fn what_is_refused_is_no_success_and_shows_no_secret() {
    let setup = Setup::new();
    let (token, bao) = (setup.token(), setup.client(Kind::Bao));
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
        assert_failed(Kind::Bao, &run(arguments), 2, "403");
    }
    assert_failed(
        Kind::Bao,
        &run(&["read", "-wrap-ttl=60s", "claviger/data/site/main"]),
        2,
        "response wrapping is not supported",
    );
    let namespaced = run(&["read", "-namespace=team", "claviger/data/site/main"]);
    assert_failed(Kind::Bao, &namespaced, 2, "namespaces are not supported");
    assert_failed(Kind::Bao, &run(&["kv", "get", "-mount=claviger", "-version=7", "site/main"]), 2, "No value found");
    assert_eq!(run(&["token", "revoke", "-self"]).code, Some(0));
    assert_eq!(run(&["token", "lookup"]).code, Some(0));
    assert_eq!(run(&["kv", "get", "-mount=claviger", "-field=TOKEN", "site/main"]).stdout, "s3cret");
    assert_eq!(run(&["kv", "get", "-field=TOKEN", "claviger/site/main"]).stdout, "s3cret");
    assert_eq!(run(&["read", "-field=data", "claviger/data/site/main"]).code, Some(0));
    assert!(!setup.edge.log().contains("written") && !setup.edge.stdout().contains("written"));
}
