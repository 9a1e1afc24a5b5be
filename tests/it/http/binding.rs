//! Where and for how long a ticket can be redeemed.

use super::assert_problem;
use crate::rig::claviger::download_path;
use crate::rig::http::Answer;
use crate::rig::oidc::{TestServer, allow};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A server behind a trusted proxy: tickets for `bound` are bound to the client's address, those for `loose` are not.
fn behind_a_proxy() -> TestServer {
    let policies = [
        ("bound", allow(&["homelab/x"], &json!({"repos": ["bound"]}))),
        ("loose", allow(&["homelab/x"], &json!({"repos": ["loose"], "ticket": {"bindTo": "none"}}))),
    ];
    let server_section =
        json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0", "trustedProxies": ["127.0.0.1/32", "10.0.0.0/8"]});
    TestServer::start(&json!({"homelab/x": {"K": "v"}}), &policies, &json!({"server": server_section}), &[])
}

fn ask_from(server: &TestServer, forwarded: &str, repo: &str) -> String {
    let bearer = format!("Bearer {}", server.issuer.token(&json!({})));
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("X-Forwarded-For", forwarded),
    ];
    download_path(&server.send("POST", "/v1/tickets", &headers, format!("repo={repo}&branch=main").as_bytes()))
}

fn download_from(server: &TestServer, headers: &[(&str, &str)], path: &str) -> Answer {
    server.send("GET", path, headers, b"")
}

#[test]
fn a_redemption_from_a_wrong_address_revokes_a_bound_ticket() {
    let server = behind_a_proxy();
    let path = ask_from(&server, "203.0.113.1", "bound");
    let misuse = download_from(&server, &[("X-Forwarded-For", "203.0.113.2")], &path);
    assert_problem(&misuse, 403, "ticket_misuse");
    for address in ["203.0.113.1", "203.0.113.2"] {
        assert_problem(&download_from(&server, &[("X-Forwarded-For", address)], &path), 410, "ticket_revoked");
    }
    let event = rejections(&server).into_iter().find(|event| event["reason"] == "misuse").unwrap();
    assert_eq!((&event["sourceIp"], &event["outcome"]), (&json!("203.0.113.2"), &json!("denied")));
    assert_eq!((&event["caller"]["subject"], &event["repo"]), (&json!("build-1"), &json!("bound")));
    assert_eq!(event["requestId"].as_str(), misuse.header("x-request-id").as_deref());
    assert_eq!(server.count(r#"claviger_ticket_redemptions_total{outcome="misuse"}"#), 1);
    assert_eq!(server.count(r#"claviger_ticket_redemptions_total{outcome="revoked"}"#), 2);
    assert_eq!(server.count("claviger_tickets_outstanding"), 0);

    // A request with a wrong key, a wrong method or a prefetch header does not revoke the ticket.
    let path = ask_from(&server, "203.0.113.1", "bound");
    let wrong = format!("{}.{}", path.split_once('.').unwrap().0, "A".repeat(43));
    assert_problem(&download_from(&server, &[("X-Forwarded-For", "203.0.113.2")], &wrong), 404, "ticket_unknown");
    let head = [("X-Forwarded-For", "203.0.113.2")];
    assert_problem(&server.send("DELETE", &path, &head, b""), 405, "method_not_allowed");
    let prefetch = [("X-Forwarded-For", "203.0.113.2"), ("Sec-Purpose", "prefetch")];
    assert_problem(&download_from(&server, &prefetch, &path), 403, "prefetch_refused");
    assert_eq!(download_from(&server, &[("X-Forwarded-For", "203.0.113.1")], &path).status, 200);
}

fn rejections(server: &TestServer) -> Vec<Value> {
    server.audit_events().into_iter().filter(|event| event["type"] == "ticket.rejected").collect()
}

#[test]
fn the_right_address_is_the_right_most_untrusted_hop() {
    let server = behind_a_proxy();
    for (asked, came) in [
        ("203.0.113.1", &[("X-Forwarded-For", "203.0.113.1")][..]),
        ("203.0.113.1", &[("X-Forwarded-For", "198.51.100.9, 203.0.113.1, 10.1.2.3")]),
        ("203.0.113.1", &[("X-Forwarded-For", "::ffff:203.0.113.1")]),
        ("198.51.100.9, 203.0.113.1", &[("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "203.0.113.1")]),
        ("2001:db8::1", &[("X-Forwarded-For", "2001:0db8:0::1")]),
        ("203.0.113.1", &[("X-Forwarded-For", "203.0.113.1:80")]),
        ("203.0.113.1:41001", &[("X-Forwarded-For", "203.0.113.1:41002, 10.1.2.3:80")]),
        ("[2001:db8::1]:41001", &[("X-Forwarded-For", "[2001:db8::1]:41002")]),
    ] {
        let path = ask_from(&server, asked, "bound");
        assert_eq!(download_from(&server, came, &path).status, 200, "{asked} {came:?}");
    }
    for came in [
        &[][..],
        &[("X-Forwarded-For", "")],
        &[("X-Forwarded-For", "203.0.113.1, 198.51.100.9")],
        &[("X-Forwarded-For", "203.0.113.1, x")],
        &[("X-Forwarded-For", "203.0.113.2:80")],
        &[("X-Forwarded-For", "203.0.113.1:port")],
        &[("X-Forwarded-For", "203.0.113.1"), ("X-Forwarded-For", "198.51.100.9")],
        &[("Forwarded", "for=203.0.113.1")],
        &[("X-Real-Ip", "203.0.113.1")],
        &[("Client-Ip", "203.0.113.1")],
        &[("True-Client-Ip", "203.0.113.1")],
        &[("X-Forwarded", "203.0.113.1")],
        &[("X_Forwarded_For", "203.0.113.1")],
    ] {
        let path = ask_from(&server, "203.0.113.1", "bound");
        assert_problem(&download_from(&server, came, &path), 403, "ticket_misuse");
    }
}

#[test]
fn a_proxy_without_a_client_address_binds_no_ticket_and_is_logged_once() {
    let server = behind_a_proxy();
    let bearer = format!("Bearer {}", server.issuer.token(&json!({})));
    let ask = |forwarded: &str, repo: &str| {
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("X-Forwarded-For", forwarded),
        ];
        server.send("POST", "/v1/tickets", &headers, format!("repo={repo}&branch=main").as_bytes())
    };
    let told = |server: &TestServer| server.claviger.log().matches("invalid X-Forwarded-For").count();
    assert_eq!(ask("203.0.113.1", "bound").status, 201);
    assert_eq!(told(&server), 0);
    for nonsense in ["unknown", "203.0.113.1:port", "fe80::1%eth0", "203.0.113.1, x", ""] {
        assert_problem(&ask(nonsense, "bound"), 400, "invalid_request");
        let answer = ask(nonsense, "loose");
        assert_eq!(answer.status, 201, "{nonsense}: {answer:?}");
    }
    assert_eq!(told(&server), 1);
    let refused = server.audit_events().into_iter().find(|event| event["type"] == "ticket.failed").unwrap();
    assert_eq!([&refused["reason"], &refused["sourceIp"]], ["source_unknown", "127.0.0.1"]);
    // A ticket that the proxy itself requested is bound to the proxy.
    let path = download_path(&server.send(
        "POST",
        "/v1/tickets",
        &[("Authorization", bearer.as_str()), ("Content-Type", "application/x-www-form-urlencoded")],
        b"repo=bound&branch=main",
    ));
    assert_problem(&download_from(&server, &[("X-Forwarded-For", "unknown")], &path), 403, "ticket_misuse");
}

#[test]
fn an_unbound_ticket_works_from_anywhere() {
    let server = behind_a_proxy();
    let path = ask_from(&server, "203.0.113.1", "loose");
    assert_eq!(download_from(&server, &[("X-Forwarded-For", "203.0.113.2")], &path).status, 200);
}

#[test]
fn forwarded_addresses_of_untrusted_clients_are_ignored() {
    let server = TestServer::with_one_secret();
    let path = ask_from(&server, "203.0.113.1", "site");
    assert_eq!(download_from(&server, &[("X-Forwarded-For", "203.0.113.2")], &path).status, 200);
    let issued = server.audit_events().into_iter().find(|event| event["type"] == "ticket.issued").unwrap();
    assert_eq!(issued["sourceIp"], "127.0.0.1");
}

#[test]
fn an_expired_ticket_is_refused_with_ticket_expired() {
    let server = TestServer::with_one_secret();
    let (path, lasting) = (server.download_path_for("repo=site&branch=main&ttl=1s"), server.new_download_path());
    let redeemed = server.download_path_for("repo=site&branch=main&ttl=1s");
    assert_eq!(server.download(&redeemed).status, 200);
    let deadline = Instant::now() + Duration::from_secs(10);
    // The test only reads the audit log, so no request causes the expiry.
    let expired = loop {
        let answer = server.audit_events().into_iter().find(|event| event["type"] == "ticket.expired");
        if let Some(event) = answer {
            break event;
        }
        assert!(Instant::now() < deadline, "the ticket does not expire");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_problem(&server.download(&path), 410, "ticket_expired");
    assert_problem(&server.download(&redeemed), 410, "ticket_redeemed");
    assert_eq!(server.download(&lasting).status, 200);
    assert_eq!((&expired["caller"]["subject"], &expired["outcome"]), (&json!("build-1"), &json!("ok")));
    assert_eq!(server.audit_events().iter().filter(|event| event["type"] == "ticket.expired").count(), 1);
    assert_eq!(server.count(r#"claviger_ticket_redemptions_total{outcome="expired"}"#), 1);
    assert_eq!(server.count("claviger_tickets_outstanding"), 0);
}
