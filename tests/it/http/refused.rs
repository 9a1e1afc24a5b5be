//! Refusals that one caller causes repeatedly: a few events, and a count of the rest.

use crate::rig::claviger::{download_path, wait_until};
use crate::rig::oidc::{TestServer, allow};
use serde_json::{Value, json};
use std::time::Duration;

/// The number of refusals per caller, reason and minute that have their own event.
const INDIVIDUAL_PER_MINUTE: usize = 10;
const EACH: usize = 150;

fn server() -> TestServer {
    let policies = [
        ("site", allow(&["homelab/{repo}/{branch}"], &json!({"repos": ["site"]}))),
        ("direct", allow(&["homelab/x"], &json!({"repos": ["direct"], "delivery": ["direct"]}))),
    ];
    let administrators = json!({"static": [{"authenticator": "ci", "claims": {"role": "admin"}}]});
    TestServer::start(
        &json!({"homelab/site/main": {"K": "v"}}),
        &policies,
        &json!({"administrators": administrators}),
        &[],
    )
}

fn count_of(event: &Value) -> u64 {
    event["count"].as_u64().unwrap_or(1)
}

fn events_of(server: &TestServer, kind: &str, subject: &str) -> Vec<Value> {
    let events = server.audit_events().into_iter();
    events.filter(|event| event["type"] == kind && event["caller"]["subject"] == subject).collect()
}

/// Stops the process, which then writes the remaining counts.
fn stop(server: &mut TestServer) {
    server.signal("INT");
    assert!(server.wait(Duration::from_secs(20)).success(), "{}", server.log());
}

#[test]
fn floods_of_each_kind_are_counted_completely_in_few_events() {
    const FORM: &str = "application/x-www-form-urlencoded";
    const JSON: &str = "application/json";
    let mut server = server();
    let long = format!("repo={}&branch={}", "r".repeat(250), "b".repeat(900));
    let send = |subject: &str, method: &str, target: &str, content: &str, body: &str| {
        // A new token each time: a client that can create tokens is still one caller.
        let bearer = format!("Bearer {}", server.issuer.token(&json!({"sub": subject})));
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", content)];
        server.send(method, target, &headers, body.as_bytes()).status
    };
    let floods: [(&str, &str, &str, &str, &str, &str, u16); 8] = [
        ("denied", "ticket.denied", "POST", "/v1/tickets", FORM, &long, 403),
        ("failed", "ticket.failed", "POST", "/v1/tickets", FORM, "repo=..&branch=main", 422),
        ("garbage", "ticket.failed", "POST", "/v1/tickets", JSON, "{", 400),
        ("required", "ticket.failed", "POST", "/v1/tickets", FORM, "repo=site&branch=none&required=true", 404),
        ("direct", "secrets.read", "POST", "/v1/secrets", FORM, "repo=site&branch=main", 403),
        ("unread", "secrets.read", "POST", "/v1/secrets", JSON, "{", 400),
        ("admin", "admin.denied", "GET", "/v1/tickets", FORM, "", 403),
        ("name", "admin.denied", "DELETE", &format!("/v1/policies/{}", "p".repeat(5000)), FORM, "", 403),
    ];
    for (subject, _, method, target, content, body, status) in floods {
        for _ in 0..EACH {
            assert_eq!(send(subject, method, target, content, body), status, "{subject}");
        }
    }
    stop(&mut server);
    for (subject, kind, ..) in floods {
        let events = events_of(&server, kind, subject);
        assert_eq!(events.iter().map(count_of).sum::<u64>(), EACH as u64, "{subject}");
        // The first ones have their own events; counts follow after 1, 5, 25 seconds and a minute. The test takes at
        // most a few minutes.
        assert!(
            (INDIVIDUAL_PER_MINUTE + 1..4 * (INDIVIDUAL_PER_MINUTE + 5)).contains(&events.len()),
            "{subject}: {}",
            events.len()
        );
        let counts = events.iter().filter(|event| !event["count"].is_null());
        for event in counts.clone() {
            assert!(event["requestId"].is_null() && event["reason"].is_string() && event["sourceIp"] == "127.0.0.1");
        }
        assert!(counts.count() > 0);
        for event in &events {
            assert!(event.to_string().len() < 1200, "{event}");
        }
    }
    let cut = events_of(&server, "ticket.denied", "denied").remove(0);
    assert_eq!(cut["repo"], "r".repeat(128) + "\u{2026}");
    assert_eq!(cut["branch"], "b".repeat(128) + "\u{2026}");
}

#[test]
fn another_caller_and_another_reason_are_not_counted_with_a_flood() {
    let server = server();
    let flood = server.issuer.token(&json!({"sub": "flood"}));
    for _ in 0..EACH {
        assert_eq!(server.ask(&flood, "repo=other&branch=main").status, 403);
    }
    let one_by_one =
        |subject: &str| events_of(&server, "ticket.denied", subject).iter().filter(|e| e["count"].is_null()).count();
    assert_eq!(one_by_one("flood"), INDIVIDUAL_PER_MINUTE);
    let honest = server.issuer.token(&json!({"sub": "honest"}));
    for _ in 0..3 {
        assert_eq!(server.ask(&honest, "repo=other&branch=main").status, 403);
    }
    assert_eq!(one_by_one("honest"), 3);
    assert_eq!(server.ask(&flood, "repo=site&branch=a..b").status, 422);
    assert_eq!(events_of(&server, "ticket.failed", "flood").len(), 1);
    // A count is written soon, while the flood continues.
    wait_until("a count", || events_of(&server, "ticket.denied", "flood").iter().any(|event| count_of(event) > 1));
    // Every granted request is one event with complete names.
    for _ in 0..30 {
        assert_eq!(server.ask(&flood, &format!("repo=site&branch={}", "b".repeat(900))).status, 201);
    }
    let issued = events_of(&server, "ticket.issued", "flood");
    assert_eq!(issued.len(), 30);
    assert!(issued.iter().all(|event| event["branch"] == "b".repeat(900)));
}

#[test]
fn a_download_is_not_repeated_more_often_than_its_caller_may_ask() {
    let server = TestServer::start(
        &json!({"homelab/site/main": {"K": "v"}}),
        &[("site", allow(&["homelab/{repo}/{branch}"], &json!({})))],
        &json!({}),
        &[("CLAVIGER__LIMITS__REQUESTSPERSECONDPERCALLER", "5")],
    );
    let path = download_path(&server.asks("repo=site&branch=main"));
    let get = || server.send("GET", &path, &[("Idempotency-Key", "one-and-the-same")], b"").status;
    assert_eq!((get(), get()), (200, 200), "the download and one repetition");
    let statuses: Vec<u16> = (0..60).map(|_| get()).collect();
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 429).count() > 20, "{statuses:?}");
}
