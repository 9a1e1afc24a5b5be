//! Each request appears in the audit log and in the metrics, and no label has a name chosen by a caller.

use super::{SITE, VaultClient as _, assert_errors, server};
use crate::rig::claviger::wait_until;
use claviger::model::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

fn last(server: &crate::rig::oidc::TestServer) -> Value {
    server.audit_events().pop().unwrap()
}

#[test]
fn every_read_is_an_event_via_vault() {
    let server = server();
    let answer = server.vault_read(SITE);
    let event = last(&server);
    assert_eq!(
        (&event["type"], &event["outcome"], &event["via"], &event["repo"], &event["branch"]),
        (&json!("secrets.read"), &json!("ok"), &json!("vault"), &json!("site"), &json!("main"))
    );
    assert_eq!(event["keys"], json!(["LINES", "NUMBER", "QUOTE", "TOKEN", "TRUE"]));
    assert_eq!(event["requestId"].as_str(), answer.header("x-request-id").as_deref());

    for (path, status, outcome, reason) in [
        ("empty/main", 404, "ok", Value::Null),
        ("required/main", 404, "failed", json!("secret_not_found")),
        ("other/main", 403, "denied", json!("no_policy_matches")),
        ("tickets/main", 403, "denied", json!("delivery_not_allowed")),
        ("apps%2Fsite/main", 400, "failed", json!("invalid_request")),
        ("site/HEAD", 400, "failed", json!("invalid_branch")),
        ("a=3Ab/main", 400, "failed", json!("invalid_repo")),
    ] {
        assert_errors(&server.vault_read(&format!("/v1/claviger/data/{path}")), status, "");
        let event = last(&server);
        assert_eq!(
            (&event["type"], &event["outcome"], &event["via"]),
            (&json!("secrets.read"), &json!(outcome), &json!("vault")),
            "{path}"
        );
        assert_eq!((&event["reason"], &event["keys"]), (&reason, &json!([])), "{path}");
    }
    let native = server.send(
        "POST",
        "/v1/secrets",
        &[
            ("Authorization", &format!("Bearer {}", server.issuer.token(&json!({})))),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ],
        b"repo=site&branch=main&format=json",
    );
    assert!(native.status == 200 && last(&server).get("via").is_none());
    assert!(!server.stdout().contains("s3cret") && !server.log().contains("s3cret"));
}

#[test]
fn logins_are_counted_and_their_refusals_summed() {
    let server = server();
    let token = server.issuer.token(&json!({}));
    for _ in 0..3 {
        assert_eq!(server.vault_log_in(&json!({"jwt": token, "role": "ci"})).status, 200);
    }
    assert_eq!(server.count(r#"claviger_authentications_total{authenticator="ci",outcome="ok"}"#), 3);
    let short = server.issuer.token(&json!({"exp": SystemClock.now().as_second() + 10}));
    for bad in ["garbage", short.as_str()] {
        assert_errors(&server.vault_log_in(&json!({"jwt": bad})), 403, "unauthenticated: ");
    }
    let reasons = || -> Vec<Value> {
        let failed = server.audit_events().into_iter().filter(|event| event["type"] == "authn.failed");
        failed.map(|event| event["reason"].clone()).collect()
    };
    wait_until("the sums", || reasons().len() == 2);
    let mut reasons = reasons();
    reasons.sort_by_key(Value::to_string);
    assert_eq!(reasons, [json!("malformed_token"), json!("token_expires_soon")]);
    assert!(
        ![server.log(), server.stdout(), server.metrics()]
            .iter()
            .any(|text| text.contains(&token) || text.contains(&short))
    );
}

#[test]
fn routes_are_templates_and_no_names() {
    let server = server();
    for name in ["n4me1", "n4me2", "n4me1~n4me3", "n4me4%2Fx"] {
        for path in [
            format!("/v1/claviger/data/{name}/{name}"),
            format!("/v1/claviger/data/{name}/{name}/{name}"),
            format!("/v1/claviger/{name}/{name}"),
            format!("/v1/{name}/{name}"),
            format!("/v1/auth/{name}/login"),
            format!("/v1/auth/{name}/{name}/login"),
            format!("/v1/sys/internal/ui/mounts/claviger/{name}"),
            format!("/v1/sys/internal/ui/mounts/{name}"),
        ] {
            server.vault_read(&path);
        }
    }
    server.vault_read(SITE);
    server.vault_read("/v1/tickets/n4me1/n4me2");
    let metrics = server.metrics();
    assert!(!metrics.contains("n4me"), "{metrics}");
    for (route, method, status) in [
        ("/v1/claviger/data/{repo}/{branch}", "GET", 200),
        ("/v1/claviger/data/{repo}/{branch}", "GET", 403),
        ("/v1/auth/{mount}/login", "GET", 405),
        ("/v1/sys/internal/ui/mounts/{path}", "GET", 200),
        ("/v1/{path}", "GET", 403),
        ("unmatched", "GET", 404),
    ] {
        let series = format!(r#"claviger_http_requests_total{{method="{method}",route="{route}",status="{status}"}}"#);
        assert!(server.count(&series) > 0, "{series}");
    }
    assert!(
        !server.log().contains("n4me")
            && !server.stdout().lines().any(|line| line.contains("n4me") && line.contains("authn.failed"))
    );
}
