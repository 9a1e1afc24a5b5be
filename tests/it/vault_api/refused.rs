//! Requests that are refused and never ignored: writes, lists, wrapping, namespaces, other paths, and ambiguous
//! spellings.

use super::{SITE, VaultClient as _, assert_errors, server, server_with};
use crate::rig::http::{exchange, parse};
use serde_json::json;

const CANARY: &str = "c4nary-of-a-written-bundle";

#[test]
fn writes_and_lists_are_refused_and_their_bodies_not_logged() {
    let server = server();
    let token = server.issuer.token(&json!({}));
    let body = json!({"data": {"K": CANARY}}).to_string();
    for method in ["PUT", "POST", "PATCH", "DELETE", "LIST", "OPTIONS", "TRACE", "PROPFIND"] {
        let sent = if method == "TRACE" { b"" } else { body.as_bytes() };
        assert_errors(&server.vault_send(method, SITE, &token, sent), 403, "denied: this API is read-only");
    }
    for path in [
        "metadata/site/main",
        "delete/site/main",
        "undelete/site/main",
        "destroy/site/main",
        "subkeys/site/main",
        "config",
        "metadata",
    ] {
        for method in ["GET", "LIST", "PUT", "DELETE"] {
            assert_errors(
                &server.vault_send(method, &format!("/v1/claviger/{path}"), &token, body.as_bytes()),
                403,
                "denied: this API is read-only",
            );
        }
    }
    for query in ["list=true", "version=0&list=1"] {
        assert_errors(&server.vault_read(&format!("{SITE}?{query}")), 403, "denied: this API is read-only");
    }
    // Larger than any accepted body: it is answered too.
    let huge = format!(r#"{{"data":{{"K":"{CANARY}{}"}}}}"#, "x".repeat(200_000));
    assert_errors(&server.vault_send("PUT", SITE, &token, huge.as_bytes()), 403, "denied: ");
    assert!(![server.log(), server.stdout(), server.metrics()].iter().any(|text| text.contains(CANARY)));
    assert!(!std::fs::read_to_string(server.folder.path().join("stdout")).unwrap().contains("s3cret"));
    assert_eq!(server.vault_read(SITE).status, 200);
}

#[test]
fn a_head_of_a_secret_is_refused() {
    let server = server();
    let token = server.issuer.token(&json!({}));
    for path in
        [SITE, "/v1/claviger/data/other/main", "/v1/auth/token/lookup-self", "/v1/sys/internal/ui/mounts/claviger"]
    {
        let head = format!("HEAD {path} HTTP/1.1\r\nHost: a\r\nX-Vault-Token: {token}\r\nConnection: close\r\n\r\n");
        let answer = String::from_utf8(exchange(server.api, head.as_bytes())).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 405 ")
                && answer.ends_with("\r\n\r\n")
                && answer.contains("\r\nallow: GET\r\n"),
            "{answer}"
        );
    }
    assert!(server.audit_events().iter().all(|event| event["type"] != "secrets.read"));
}

#[test]
fn wrapping_and_namespaces_are_refused_at_logins_and_reads() {
    let server = server();
    let token = server.issuer.token(&json!({}));
    let login = json!({"jwt": token, "role": "ci"}).to_string();
    let with = |name: &'static str, value: &str| {
        let read = server.send("GET", SITE, &[("X-Vault-Token", &token), (name, value)], b"");
        [read, server.send("PUT", "/v1/auth/jwt/login", &[(name, value)], login.as_bytes())]
    };
    for ttl in ["60s", "1", "0", ""] {
        for answer in with("X-Vault-Wrap-TTL", ttl) {
            assert_errors(&answer, 400, "response wrapping is not supported");
        }
    }
    for namespace in ["team", "root/team", "/team", "ROOT", "admin/"] {
        for answer in with("X-Vault-Namespace", namespace) {
            assert_errors(&answer, 400, "namespaces are not supported");
        }
    }
    for namespace in ["", "root", "/"] {
        assert!(with("X-Vault-Namespace", namespace).iter().all(|answer| answer.status == 200), "{namespace:?}");
    }
    for (name, value) in [("X-HTTP-Method-Override", "GET"), ("X-Method-Override", "GET"), ("X-HTTP-Method", "GET")] {
        assert_errors(&server.send("PUT", SITE, &[("X-Vault-Token", &token), (name, value)], b""), 403, "denied: ");
        assert_eq!(server.send("GET", SITE, &[("X-Vault-Token", &token), (name, "DELETE")], b"").status, 200);
    }
    for name in ["X-Original-URL", "X-Rewrite-URL", "X-Vault-Inline-Auth-Path"] {
        assert_errors(
            &server.send("GET", "/v1/claviger/data/other/main", &[("X-Vault-Token", &token), (name, SITE)], b""),
            403,
            "denied: ",
        );
        assert_errors(&server.send("GET", SITE, &[(name, "auth/jwt/login")], b""), 403, "unauthenticated: ");
    }
}

#[test]
fn every_other_path_below_v1_is_403_in_vaults_format() {
    let server = server();
    let token = server.issuer.token(&json!({}));
    for path in [
        "/v1/",
        "/v1/claviger",
        "/v1/secret/data/site/main",
        "/v1/cubbyhole/x",
        "/v1/identity/entity/id",
        "/v1/sys/mounts",
        "/v1/sys/init",
        "/v1/sys/leader",
        "/v1/sys/internal/ui/mounts",
        "/v1/sys/wrapping/unwrap",
        "/v1/auth/token/create",
        "/v1/auth/token/lookup",
        "/v1/claviger2/data/site/main",
        "/v1/CLAVIGER/data/site/main",
        "/v1//claviger/data/site/main",
        "/v1/%63laviger/data/site/main",
        "/v1/sys/health/",
        "/v1/x/../claviger/data/site/main",
        "/v1/anything",
        "/v1/no/such/thing",
    ] {
        for method in ["GET", "PUT", "LIST", "OPTIONS"] {
            assert_errors(&server.vault_send(method, path, &token, b""), 403, "denied: ");
        }
        assert_errors(&server.send("GET", path, &[], b""), 403, "denied: ");
    }
    for path in
        ["site/main", "apps/site/feature/x", "site", "", "%64ata/site/main", "Data/site/main", "data2/site/main"]
    {
        let answer = server.vault_read(&format!("/v1/claviger/{path}"));
        assert_errors(&answer, 403, "denied: ");
        assert!(answer.text().contains("KV version 2"), "{path}: {answer:?}");
    }
    for path in [
        "/v1",
        "/",
        "/v2/x",
        "//v1/claviger/data/site/main",
        "/v1/tickets/a/b",
        "/v1/downloads/",
        "/v1/secrets/x",
        "/v1/audit/x",
        "/v1/inventory/x",
    ] {
        let answer = server.vault_send("GET", path, &token, b"");
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
    }
}

#[test]
fn where_it_is_disabled_its_paths_are_unknown() {
    let server = server_with(&json!({"vaultApi": {"enabled": false}}));
    for path in [SITE, "/v1/auth/jwt/login", "/v1/sys/health", "/v1/auth/token/lookup-self", "/v1/secret/x", "/v1/"] {
        for method in ["GET", "POST", "PUT"] {
            let answer = server.vault_send(method, path, &server.issuer.token(&json!({})), b"{}");
            assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{method} {path}");
        }
    }
    assert!(!server.metrics().contains("/v1/claviger") && server.asks("repo=site&branch=main").status == 201);
}

#[test]
fn errors_of_lower_layers_have_vaults_format_too() {
    let server = server();
    let token = server.issuer.token(&json!({}));
    let raw = |head: &str, body: &str| {
        parse(&exchange(server.api, format!("{head}\r\nX-Vault-Token: {token}\r\n\r\n{body}").as_bytes()))
    };
    let get = format!("GET {SITE} HTTP/1.1");
    let post = "POST /v1/auth/jwt/login HTTP/1.1\r\nHost: a";
    assert_errors(&raw(&get, ""), 400, "");
    assert_errors(&raw(&format!("{get}\r\nHost: a\r\nHost: b"), ""), 400, "");
    assert_errors(&raw(&format!("{post}\r\nTransfer-Encoding: chunked"), "0\r\n\r\n"), 411, "length_required: ");
    assert_errors(&raw(&format!("GET {SITE} HTTP/1.0\r\nHost: a"), ""), 505, "http_version_not_supported: ");
    assert!(
        !exchange(server.api, format!("GET {SITE}#x HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
            .windows(6)
            .any(|six| six == b"s3cret")
    );
    assert!(
        !exchange(server.api, format!("GET http://a{SITE} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
            .windows(6)
            .any(|six| six == b"s3cret")
    );
    assert_eq!(raw(&format!("{get}\r\nHost: a\r\nConnection: close"), "").status, 200);
}

#[test]
fn another_method_is_refused_with_those_that_are_allowed() {
    let server = server();
    for (method, path, allowed) in [
        ("GET", "/v1/auth/jwt/login", "POST, PUT"),
        ("GET", "/v1/auth/token/revoke-self", "POST, PUT"),
        ("DELETE", "/v1/auth/token/renew-self", "POST, PUT"),
        ("POST", "/v1/sys/health", "GET, HEAD"),
        ("PUT", "/v1/sys/seal-status", "GET"),
    ] {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = String::from_utf8(exchange(server.api, head.as_bytes())).unwrap();
        let allow = format!("\r\nallow: {allowed}\r\n");
        assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains(&allow), "{method} {path}: {answer}");
    }
}
