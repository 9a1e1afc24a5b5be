//! Where and for how long a ticket can be redeemed.

use super::assert_problem;
use crate::rig::claviger::download_path;
use crate::rig::http::Answer;
use crate::rig::oidc::{Edge, allow};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Behind a trusted proxy: `bound` is bound to the address of the request, `loose` to none.
fn behind_a_proxy() -> Edge {
    let policies = [
        ("bound", allow(&["homelab/x"], &json!({"repos": ["bound"]}))),
        ("loose", allow(&["homelab/x"], &json!({"repos": ["loose"], "ticket": {"bindTo": "none"}}))),
    ];
    let server =
        json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0", "trustedProxies": ["127.0.0.1/32", "10.0.0.0/8"]});
    Edge::start(&json!({"homelab/x": {"K": "v"}}), &policies, &json!({"server": server}), &[])
}

fn ask_from(edge: &Edge, forwarded: &str, repo: &str) -> String {
    let bearer = format!("Bearer {}", edge.issuer.token(&json!({})));
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("X-Forwarded-For", forwarded),
    ];
    download_path(&edge.send("POST", "/v1/tickets", &headers, format!("repo={repo}&branch=main").as_bytes()))
}

fn download_from(edge: &Edge, headers: &[(&str, &str)], path: &str) -> Answer {
    edge.send("GET", path, headers, b"")
}

#[test]
fn the_wrong_address_burns_a_bound_ticket() {
    let edge = behind_a_proxy();
    let path = ask_from(&edge, "203.0.113.1", "bound");
    let misuse = download_from(&edge, &[("X-Forwarded-For", "203.0.113.2")], &path);
    assert_problem(&misuse, 403, "ticket_misuse");
    for address in ["203.0.113.1", "203.0.113.2"] {
        assert_problem(&download_from(&edge, &[("X-Forwarded-For", address)], &path), 410, "ticket_revoked");
    }
    let event = rejections(&edge).into_iter().find(|event| event["reason"] == "misuse").unwrap();
    assert_eq!((&event["sourceIp"], &event["outcome"]), (&json!("203.0.113.2"), &json!("denied")));
    assert_eq!((&event["caller"]["subject"], &event["repo"]), (&json!("build-1"), &json!("bound")));
    assert_eq!(event["requestId"].as_str(), misuse.header("x-request-id").as_deref());
    assert_eq!(edge.count(r#"claviger_ticket_redemptions_total{outcome="misuse"}"#), 1);
    assert_eq!(edge.count(r#"claviger_ticket_redemptions_total{outcome="revoked"}"#), 2);
    assert_eq!(edge.count("claviger_tickets_outstanding"), 0);

    // A request with a wrong key, a wrong method or a prefetch header does not burn the ticket.
    let path = ask_from(&edge, "203.0.113.1", "bound");
    let wrong = format!("{}.{}", path.split_once('.').unwrap().0, "A".repeat(43));
    assert_problem(&download_from(&edge, &[("X-Forwarded-For", "203.0.113.2")], &wrong), 404, "ticket_unknown");
    let head = [("X-Forwarded-For", "203.0.113.2")];
    assert_problem(&edge.send("DELETE", &path, &head, b""), 405, "method_not_allowed");
    let prefetch = [("X-Forwarded-For", "203.0.113.2"), ("Sec-Purpose", "prefetch")];
    assert_problem(&download_from(&edge, &prefetch, &path), 403, "prefetch_refused");
    assert_eq!(download_from(&edge, &[("X-Forwarded-For", "203.0.113.1")], &path).status, 200);
}

fn rejections(edge: &Edge) -> Vec<Value> {
    edge.audit_events().into_iter().filter(|event| event["type"] == "ticket.rejected").collect()
}

#[test]
fn the_right_address_is_the_right_most_untrusted_hop() {
    let edge = behind_a_proxy();
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
        let path = ask_from(&edge, asked, "bound");
        assert_eq!(download_from(&edge, came, &path).status, 200, "{asked} {came:?}");
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
        let path = ask_from(&edge, "203.0.113.1", "bound");
        assert_problem(&download_from(&edge, came, &path), 403, "ticket_misuse");
    }
}

#[test]
fn a_proxy_that_names_no_address_binds_nothing_and_is_told_once() {
    let edge = behind_a_proxy();
    let bearer = format!("Bearer {}", edge.issuer.token(&json!({})));
    let ask = |forwarded: &str, repo: &str| {
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("X-Forwarded-For", forwarded),
        ];
        edge.send("POST", "/v1/tickets", &headers, format!("repo={repo}&branch=main").as_bytes())
    };
    let told = |edge: &Edge| edge.claviger.log().matches("invalid X-Forwarded-For").count();
    assert_eq!(ask("203.0.113.1", "bound").status, 201);
    assert_eq!(told(&edge), 0);
    for nonsense in ["unknown", "203.0.113.1:port", "fe80::1%eth0", "203.0.113.1, x", ""] {
        assert_problem(&ask(nonsense, "bound"), 400, "invalid_request");
        let answer = ask(nonsense, "loose");
        assert_eq!(answer.status, 201, "{nonsense}: {answer:?}");
    }
    assert_eq!(told(&edge), 1);
    let refused = edge.audit_events().into_iter().find(|event| event["type"] == "ticket.failed").unwrap();
    assert_eq!([&refused["reason"], &refused["sourceIp"]], ["source_unknown", "127.0.0.1"]);
    // A ticket that the proxy itself requested is not its clients'.
    let path = download_path(&edge.send(
        "POST",
        "/v1/tickets",
        &[("Authorization", bearer.as_str()), ("Content-Type", "application/x-www-form-urlencoded")],
        b"repo=bound&branch=main",
    ));
    assert_problem(&download_from(&edge, &[("X-Forwarded-For", "unknown")], &path), 403, "ticket_misuse");
}

#[test]
fn an_unbound_ticket_works_from_anywhere() {
    let edge = behind_a_proxy();
    let path = ask_from(&edge, "203.0.113.1", "loose");
    assert_eq!(download_from(&edge, &[("X-Forwarded-For", "203.0.113.2")], &path).status, 200);
}

#[test]
fn nobody_is_believed_who_is_no_proxy() {
    let edge = Edge::usual();
    let path = ask_from(&edge, "203.0.113.1", "site");
    assert_eq!(download_from(&edge, &[("X-Forwarded-For", "203.0.113.2")], &path).status, 200);
    let issued = edge.audit_events().into_iter().find(|event| event["type"] == "ticket.issued").unwrap();
    assert_eq!(issued["sourceIp"], "127.0.0.1");
}

#[test]
fn an_expired_ticket_is_gone_and_says_so() {
    let edge = Edge::usual();
    let (path, lasting) = (edge.path("repo=site&branch=main&ttl=1s"), edge.usual_path());
    let redeemed = edge.path("repo=site&branch=main&ttl=1s");
    assert_eq!(edge.download(&redeemed).status, 200);
    let deadline = Instant::now() + Duration::from_secs(10);
    // Watching the audit log does not touch the tickets, so their expiry is not caused by a request.
    let expired = loop {
        let answer = edge.audit_events().into_iter().find(|event| event["type"] == "ticket.expired");
        if let Some(event) = answer {
            break event;
        }
        assert!(Instant::now() < deadline, "it does not expire");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_problem(&edge.download(&path), 410, "ticket_expired");
    assert_problem(&edge.download(&redeemed), 410, "ticket_redeemed");
    assert_eq!(edge.download(&lasting).status, 200);
    assert_eq!((&expired["caller"]["subject"], &expired["outcome"]), (&json!("build-1"), &json!("ok")));
    assert_eq!(edge.audit_events().iter().filter(|event| event["type"] == "ticket.expired").count(), 1);
    assert_eq!(edge.count(r#"claviger_ticket_redemptions_total{outcome="expired"}"#), 1);
    assert_eq!(edge.count("claviger_tickets_outstanding"), 0);
}
