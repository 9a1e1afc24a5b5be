//! The limits of the native API apply here too.

use super::{SITE, VaultClient as _, assert_errors, server_with};
use serde_json::json;

/// A server with this limit. The harness lifts the limits by environment variables, so the limit is set there.
fn limited(name: &str, value: &str) -> crate::rig::oidc::TestServer {
    let policies = [("site", crate::rig::oidc::allow(&["homelab/{repo}/{branch}"], &json!({"delivery": ["direct"]})))];
    let secrets = json!({"homelab/site/main": {"TOKEN": "s3cret"}});
    crate::rig::oidc::TestServer::start(&secrets, &policies, &json!({}), &[(name, value)])
}

#[test]
fn one_caller_may_ask_so_often() {
    let server = limited("CLAVIGER__LIMITS__REQUESTSPERSECONDPERCALLER", "2");
    let token = server.issuer.token(&json!({}));
    let log_in = || server.vault_log_in(&json!({"jwt": token, "role": "ci"}));
    let asks: [(&str, &dyn Fn() -> crate::rig::http::Answer); 5] = [
        ("read", &|| server.vault_send("GET", SITE, &token, b"")),
        ("bad name", &|| server.vault_send("GET", "/v1/claviger/data/x", &token, b"")),
        ("login", &log_in),
        ("look-up", &|| server.vault_send("GET", "/v1/auth/token/lookup-self", &token, b"")),
        ("mount", &|| server.vault_send("GET", "/v1/sys/internal/ui/mounts/claviger", &token, b"")),
    ];
    for (name, asks) in asks {
        let answers: Vec<_> = (0..30).map(|_| asks()).collect();
        let refused = answers.iter().find(|answer| answer.status == 429).unwrap_or_else(|| panic!("{name}"));
        assert_errors(refused, 429, "rate_limited: ");
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_ne!(asks().status, 429, "{name}");
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
}

#[test]
fn one_address_may_fail_so_often() {
    let server = limited("CLAVIGER__LIMITS__FAILURESPERSECONDPERADDRESS", "1");
    let bad: Vec<_> = (0..40).map(|_| server.vault_log_in(&json!({"jwt": "garbage"})).status).collect();
    assert!(bad.contains(&403) && bad.contains(&429), "{bad:?}");
    assert!(bad.iter().all(|status| matches!(status, 403 | 429)), "{bad:?}");
}

#[test]
fn an_audit_log_that_cannot_be_written_releases_nothing() {
    let server = server_with(&json!({}));
    assert_eq!(server.vault_read(SITE).status, 200);
    server.write("CREATE TRIGGER full BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'full'); END");
    let answer = server.vault_read(SITE);
    assert_errors(&answer, 503, "audit_unavailable: ");
    assert!(!answer.text().contains("s3cret"));
}
