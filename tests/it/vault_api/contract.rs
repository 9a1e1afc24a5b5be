//! Logins, reads and the clients' additional requests, field by field.

use super::{SITE, VaultClient as _, assert_errors, server, server_with};
use crate::rig::claviger::wait_until;
use claviger::model::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

fn now() -> i64 {
    SystemClock.now().as_second()
}

#[test]
fn a_login_answers_the_callers_own_token_with_every_field_of_vaults() {
    let server = server();
    let token = server.issuer.token(&json!({"exp": now() + 3600}));
    let answer = server.vault_log_in(&json!({"jwt": token, "role": "ci"}));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type").as_deref(), Some("application/json"));
    assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
    let request_id = answer.header("x-request-id").unwrap();
    assert_eq!(
        answer.json(),
        json!({
            "request_id": request_id, "lease_id": "", "renewable": false, "lease_duration": 0, "data": null,
            "wrap_info": null, "warnings": null,
            "auth": {
                "client_token": token, "accessor": "", "policies": ["default"], "token_policies": ["default"],
                "metadata": {"role": "ci"}, "lease_duration": 600, "renewable": false, "entity_id": "",
                "token_type": "batch", "orphan": true, "mfa_requirement": null, "num_uses": 0,
            },
        })
    );
    assert_eq!(server.vault_send("GET", SITE, &token, b"").status, 200);
}

#[test]
fn a_login_accepts_the_bodies_of_clients_and_refuses_others() {
    let server = server();
    let token = server.issuer.token(&json!({}));
    let body = json!({"jwt": format!(" {token}\n"), "role": "ci", "nonce": [{}]}).to_string();
    for mount in ["kubernetes", "jwt", "a/b/c", "my%20mount", "tokens"] {
        for (method, headers) in [
            ("POST", &[][..]),
            ("PUT", &[("X-Vault-Request", "true")]),
            ("POST", &[("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "text/html")]),
            ("POST", &[("X-Vault-Token", "garbage"), ("X-Vault-Namespace", "")]),
            ("PUT", &[("X-Vault-Namespace", "root")]),
        ] {
            let answer = server.send(method, &format!("/v1/auth/{mount}/login?role=x"), headers, body.as_bytes());
            assert_eq!(
                (answer.status, &answer.json()["auth"]["client_token"]),
                (200, &json!(token)),
                "{mount} {headers:?}"
            );
        }
    }
    for (role, told) in [(Value::Null, ""), (json!(""), ""), (json!("x y\u{202e}"), "x y\u{202e}")] {
        assert_eq!(server.vault_log_in(&json!({"jwt": token, "role": role})).json()["auth"]["metadata"]["role"], told);
    }
    assert_eq!(server.vault_log_in(&json!({"jwt": token})).status, 200);

    let log_in = |path: &str, body: &str| server.send("POST", path, &[], body.as_bytes());
    for path in
        ["/v1/auth//login", "/v1/auth/a//b/login", "/v1/auth/../x/login", "/v1/auth/a%2Fb/login", "/v1/auth/%/login"]
    {
        assert_errors(&log_in(path, &body), 400, "name the mount");
    }
    for path in ["/v1/auth/token/login", "/v1/auth/%74oken/login", "/v1/auth/login", "/v1/auth/kubernetes/login/"] {
        assert_errors(&log_in(path, &body), 403, "denied: ");
    }
    let deep = format!(r#"{{"jwt":"{token}","x":{}"#, "[".repeat(10_000));
    let twice = format!(r#"{{"jwt":"{token}","jwt":"{token}"}}"#);
    let array = format!(r#"["{token}","ci"]"#);
    for body in ["", "{", "null", "[]", r#"{"jwt":1}"#, r#"{"jwt":"a","role":{}}"#, "jwt=a", &deep, &twice, &array] {
        assert_errors(&log_in("/v1/auth/jwt/login", body), 400, "the body must be one JSON object");
    }
    for body in ["{}", r#"{"role":"ci"}"#, r#"{"jwt":null}"#, r#"{"jwt":""}"#] {
        assert_errors(&log_in("/v1/auth/jwt/login", body), 403, "unauthenticated: ");
    }
    assert_errors(&log_in("/v1/auth/jwt/login", &"x".repeat(64 * 1024 + 1)), 413, "payload_too_large: ");
    assert_errors(&server.send("GET", "/v1/auth/jwt/login", &[], b""), 405, "method_not_allowed: ");
}

#[test]
fn a_bad_token_is_refused_at_the_login_and_at_the_read_alike() {
    let server = server();
    let good = server.issuer.token(&json!({}));
    let other_key = crate::rig::oidc::TokenIssuer::new().token(&json!({}));
    for bad in [
        "garbage".to_owned(),
        server.issuer.token(&json!({"aud": "vault"})),
        server.issuer.token(&json!({"exp": now() - 3600})),
        server.issuer.token(&json!({"iss": "https://other"})),
        other_key,
        format!("{good}x"),
    ] {
        assert_errors(&server.vault_log_in(&json!({"jwt": bad, "role": "ci"})), 403, "unauthenticated: ");
        for path in [SITE, "/v1/auth/token/lookup-self", "/v1/sys/internal/ui/mounts/claviger"] {
            assert_errors(&server.vault_send("GET", path, &bad, b""), 403, "unauthenticated: ");
        }
    }
    assert_errors(&server.vault_log_in(&json!({"jwt": " \n"})), 403, "unauthenticated: ");
    for path in [SITE, "/v1/auth/token/lookup-self", "/v1/sys/internal/ui/mounts/claviger/site/main"] {
        assert_errors(&server.send("GET", path, &[], b""), 403, "unauthenticated: ");
        assert_eq!(server.vault_send("GET", path, &good, b"").status, 200);
        let bearer = format!("Bearer {good}");
        assert_eq!(server.send("GET", path, &[("Authorization", &bearer)], b"").status, 200);
        let twice = [("X-Vault-Token", good.as_str()), ("X-Vault-Token", good.as_str())];
        assert_errors(&server.send("GET", path, &twice, b""), 403, "unauthenticated: ");
    }
}

#[test]
fn a_login_lives_as_long_as_its_token_and_a_short_one_is_refused() {
    let server = server_with(&json!({"vaultApi": {"maxTokenTtl": "5m"}}));
    let log_in = |left: i64| server.vault_log_in(&json!({"jwt": server.issuer.token(&json!({"exp": now() + left}))}));
    for (left, between) in [(3600, 300..=300), (200, 195..=200), (33, 30..=33)] {
        let answer = log_in(left).json();
        let told = answer["auth"]["lease_duration"].as_i64().unwrap_or_else(|| panic!("{answer}"));
        assert!(between.contains(&told), "{left}: {told}");
    }
    for left in [29, 5, 0, -10] {
        assert_errors(&log_in(left), 403, "unauthenticated: ");
    }
    let over = server.issuer.token(&json!({"exp": now() - 10}));
    for path in ["/v1/auth/token/lookup-self", "/v1/sys/internal/ui/mounts/claviger"] {
        assert_errors(&server.vault_send("GET", path, &over, b""), 403, "unauthenticated: ");
    }
    let sign = server.issuer.token(&json!({"exp": now() + 29}));
    assert_eq!(server.vault_send("GET", SITE, &sign, b"").status, 200, "the token is valid for reads until it expires");
}

#[test]
fn a_read_answers_the_bundle_with_every_field_of_vaults() {
    let server = server();
    let began = SystemClock.now();
    let answer = server.vault_read(SITE);
    assert_eq!(answer.status, 200, "{answer:?}");
    for (name, value) in [("content-type", "application/json"), ("cache-control", "no-store")] {
        assert_eq!(answer.header(name).as_deref(), Some(value), "{answer:?}");
    }
    assert!(answer.header("content-encoding").is_none() && answer.headers[0].0 == "content-length", "{answer:?}");
    let mut body = answer.json();
    let created = body["data"]["metadata"]["created_time"].take();
    let created: jiff::Timestamp = created.as_str().unwrap().parse().unwrap();
    assert!((began..=SystemClock.now()).contains(&created), "{created}");
    let version = body["data"]["metadata"]["version"].take();
    assert!((1..=i64::from(i32::MAX)).contains(&version.as_i64().unwrap()), "{version}");
    assert_eq!(
        body,
        json!({
            "request_id": answer.header("x-request-id").unwrap(), "lease_id": "", "renewable": false, "lease_duration": 0,
            "data": {
                "data": {"TOKEN": "s3cret", "NUMBER": "12", "TRUE": "true", "LINES": "a\nb\n", "QUOTE": "\"\\$`\u{202e}é"},
                "metadata": {"created_time": null, "custom_metadata": null, "deletion_time": "", "destroyed": false, "version": null},
            },
            "wrap_info": null, "warnings": null, "auth": null,
        })
    );
    let again = server.send(
        "GET",
        SITE,
        &[
            ("X-Vault-Token", server.issuer.token(&json!({})).as_str()),
            ("Accept-Encoding", "gzip, br"),
            ("Range", "bytes=0-3"),
            ("If-None-Match", "*"),
            ("Accept", "text/html"),
            ("Content-Length", "0"),
        ],
        b"",
    );
    assert_eq!((again.status, again.header("content-encoding")), (200, None));
    assert_eq!(again.json()["data"]["metadata"]["version"], version, "the version changes only with the secrets");
}

#[test]
fn names_are_two_segments_in_the_spelling_of_path_templates() {
    let server = server();
    for (path, value) in [
        ("apps~site/feature~x=402", "odd"),
        ("apps%7Esite/feature~x%3D402", "odd"),
        ("a=7Eb/main", "tilde"),
        ("a=20b/100=25", "percent"),
        ("%73ite/main", "s3cret"),
    ] {
        let answer = server.vault_read(&format!("/v1/claviger/data/{path}"));
        assert_eq!(
            (answer.status, &answer.json()["data"]["data"]["TOKEN"]),
            (200, &json!(value)),
            "{path}: {answer:?}"
        );
    }
    for path in [
        "",
        "site",
        "site/",
        "/main",
        "site/main/",
        "apps/site/feature/x",
        "site//main",
        "../claviger/data/site/main",
        "site/../main",
        "site/./main",
        "apps%2Fsite/main",
        "apps%252Fsite/main",
        "apps%257Esite/main",
        "%2e%2e/site",
        "site/%",
        "site/%zz",
        "site/feature@x",
        "site/=41",
        "site/=4a",
        "site/=6D",
        "site/a%20b",
        "site/caf%C3%A9",
        "site/%00",
        "site/=",
        "a~b~/main",
        "a=3Ab/main",
        "site/HEAD",
        "site/-rf",
        "site/x.lock",
        "site/a~~b",
        "site/=FF",
        "site/main;x",
        "site/main%3Fversion=1",
        "site+x/main",
    ] {
        let answer = server.vault_read(&format!("/v1/claviger/data/{path}"));
        assert_errors(&answer, 400, "");
        assert!(answer.text().contains("apps~site/feature~x"), "{path}: {answer:?}");
    }
    let data = server.vault_read("/v1/claviger/data");
    assert_errors(&data, 400, "a bundle is read at data/{repo}/{branch}");
}

#[test]
fn only_the_current_version_can_be_read() {
    let server = server();
    let version = server.vault_read(SITE).json()["data"]["metadata"]["version"].as_u64().unwrap();
    for query in ["?", "?version", "?version=", "?version=0", "?x=y&version=0", "?list=false"] {
        assert_eq!(server.vault_read(&format!("{SITE}{query}")).status, 200, "{query}");
    }
    assert_eq!(server.vault_read(&format!("{SITE}?version={version}")).status, 200);
    for other in [version + 1, 1, u64::MAX] {
        assert_errors(&server.vault_read(&format!("{SITE}?version={other}")), 404, "");
        let event = server.audit_events().pop().unwrap();
        assert_eq!((&event["type"], &event["keys"]), (&json!("secrets.read"), &json!([])));
    }
    for query in ["version=x", "version=-1", "version=1.5", "version=0&version=0", "version=%zz"] {
        assert_errors(&server.vault_read(&format!("{SITE}?{query}")), 400, "version must be a number");
    }
}

#[test]
fn a_version_changes_with_the_secrets_and_with_nothing_else() {
    let server = server();
    let version = || server.vault_read(SITE).json()["data"]["metadata"]["version"].as_u64().unwrap();
    let first = version();
    assert_eq!(version(), first);
    std::fs::write(
        server.folder.path().join("secrets.yaml"),
        json!({"homelab/site/main": {"TOKEN": "other"}}).to_string(),
    )
    .unwrap();
    server.signal("HUP");
    wait_until("the changed secret", || server.vault_read(SITE).json()["data"]["data"]["TOKEN"] == "other");
    assert_ne!(version(), first);
}

#[test]
fn missing_secrets_are_404_and_denied_requests_403() {
    let server = server();
    for path in ["empty/main", "site/other", "required/main"] {
        assert_errors(&server.vault_read(&format!("/v1/claviger/data/{path}")), 404, "");
    }
    assert_errors(&server.vault_read("/v1/claviger/data/other/main"), 403, "denied: The request is not allowed.");
    assert_errors(&server.vault_read("/v1/claviger/data/tickets/main"), 403, "delivery_not_allowed: ");
    assert_eq!(server.vault_read(SITE).status, 200);
}

#[test]
fn the_mount_is_a_kv_of_version_2() {
    let server = server();
    for path in ["claviger", "claviger/", "claviger/site/main", "claviger/any/thing%20else?x=y"] {
        let answer = server.vault_read(&format!("/v1/sys/internal/ui/mounts/{path}"));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let data = &answer.json()["data"];
        assert_eq!(
            (&data["path"], &data["type"], &data["options"]),
            (&json!("claviger/"), &json!("kv"), &json!({"version": "2"}))
        );
        for field in [
            "accessor",
            "config",
            "deprecation_status",
            "description",
            "external_entropy_access",
            "local",
            "plugin_version",
            "running_plugin_version",
            "running_sha256",
            "seal_wrap",
            "uuid",
        ] {
            assert!(!data[field].is_null(), "{field}: {data}");
        }
    }
    for path in ["", "nope/site", "claviger2", "secret", "%63laviger"] {
        assert_errors(&server.vault_read(&format!("/v1/sys/internal/ui/mounts/{path}")), 403, "denied: ");
    }
    let renamed = server_with(&json!({"vaultApi": {"mount": "builds"}}));
    assert_eq!(renamed.vault_read("/v1/builds/data/site/main").status, 200);
    assert_eq!(renamed.vault_read("/v1/sys/internal/ui/mounts/builds").json()["data"]["path"], "builds/");
    assert_errors(&renamed.vault_read(SITE), 403, "denied: ");
}

#[test]
fn a_token_is_looked_up_and_neither_renewed_nor_revoked() {
    let server = server();
    let issued = now();
    let token = server.issuer.token(&json!({"iat": issued, "exp": issued + 900}));
    let answer = server.vault_send("GET", "/v1/auth/token/lookup-self", &token, b"");
    let mut data = answer.json()["data"].clone();
    let ttl = data["ttl"].take().as_i64().unwrap();
    assert!((890..=900).contains(&ttl), "{ttl}");
    let time = |seconds| jiff::Timestamp::from_second(seconds).unwrap().to_string();
    assert_eq!(
        data,
        json!({
            "accessor": "", "creation_time": issued, "creation_ttl": 900, "display_name": "ci-build-1", "entity_id": "",
            "expire_time": time(issued + 900), "explicit_max_ttl": 0, "id": token, "issue_time": time(issued), "meta": null,
            "num_uses": 0, "orphan": true, "path": "auth/ci/login", "policies": ["default"], "renewable": false, "ttl": null,
            "type": "batch",
        })
    );
    for method in ["POST", "PUT"] {
        let revoked = server.vault_send(method, "/v1/auth/token/revoke-self", &token, b"");
        assert_eq!((revoked.status, revoked.body.len()), (204, 0), "{revoked:?}");
        let renewed = server.vault_send(method, "/v1/auth/token/renew-self", &token, b"{}");
        assert_errors(&renewed, 400, "batch tokens cannot be renewed");
        for path in ["revoke-self", "renew-self"] {
            assert_errors(
                &server.vault_send(method, &format!("/v1/auth/token/{path}"), "garbage", b""),
                403,
                "unauthenticated: ",
            );
        }
    }
    assert_eq!(server.vault_send("GET", SITE, &token, b"").status, 200, "nothing was revoked");
}

#[test]
fn the_health_is_open_and_follows_readiness() {
    let server = server();
    let health = server.send("GET", "/v1/sys/health?drsecondarycode=299&standbyok=true&x", &[], b"");
    assert_eq!(health.status, 200, "{health:?}");
    let body = health.json();
    for (field, value) in [
        ("initialized", json!(true)),
        ("sealed", json!(false)),
        ("standby", json!(false)),
        ("performance_standby", json!(false)),
        ("replication_performance_mode", json!("disabled")),
        ("replication_dr_mode", json!("disabled")),
    ] {
        assert_eq!(body[field], value, "{field}");
    }
    assert!((body["server_time_utc"].as_i64().unwrap() - now()).abs() < 10 && body["version"].is_string(), "{body}");
    let seal = server.send("GET", "/v1/sys/seal-status", &[], b"").json();
    assert_eq!(
        (&seal["initialized"], &seal["sealed"], &seal["t"], &seal["n"]),
        (&json!(true), &json!(false), &json!(1), &json!(1))
    );
    let head =
        crate::rig::http::exchange(server.api, b"HEAD /v1/sys/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");

    // A waiting ticket keeps the process alive while it drains.
    assert_eq!(server.asks("repo=site&branch=main").status, 201);
    server.signal("TERM");
    wait_until("the drain", || server.send("GET", "/v1/sys/health", &[], b"").status == 503);
    assert_errors(&server.send("GET", "/v1/sys/health", &[], b""), 503, "draining: ");
    assert_errors(&server.vault_read(SITE), 503, "draining: ");
    assert_errors(&server.vault_log_in(&json!({"jwt": server.issuer.token(&json!({}))})), 503, "draining: ");
}
