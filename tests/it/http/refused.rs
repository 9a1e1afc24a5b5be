//! Refusals that one caller causes repeatedly: a few events, and a count of the rest.

use crate::rig::claviger::{download_path, wait_until};
use crate::rig::oidc::{Edge, allow};
use serde_json::{Value, json};
use std::time::Duration;

/// How many refusals of one caller and reason are events of their own in a minute.
const INDIVIDUAL_PER_MINUTE: usize = 10;
const EACH: usize = 150;

fn edge() -> Edge {
    let policies = [
        ("site", allow(&["homelab/{repo}/{branch}"], &json!({"repos": ["site"]}))),
        ("direct", allow(&["homelab/x"], &json!({"repos": ["direct"], "delivery": ["direct"]}))),
    ];
    let administrators = json!({"static": [{"authenticator": "ci", "claims": {"role": "admin"}}]});
    Edge::start(&json!({"homelab/site/main": {"K": "v"}}), &policies, &json!({"administrators": administrators}), &[])
}

fn stands_for(event: &Value) -> u64 {
    event["count"].as_u64().unwrap_or(1)
}

fn of(edge: &Edge, kind: &str, subject: &str) -> Vec<Value> {
    let events = edge.audit_events().into_iter();
    events.filter(|event| event["type"] == kind && event["caller"]["subject"] == subject).collect()
}

/// Ends the process, which then writes the remaining counts.
fn ends(edge: &mut Edge) {
    edge.signal("INT");
    assert!(edge.wait(Duration::from_secs(20)).success(), "{}", edge.log());
}

#[test]
fn a_flood_of_every_kind_is_few_events_and_none_of_it_is_forgotten() {
    const FORM: &str = "application/x-www-form-urlencoded";
    const JSON: &str = "application/json";
    let mut edge = edge();
    let long = format!("repo={}&branch={}", "r".repeat(250), "b".repeat(900));
    let send = |subject: &str, method: &str, target: &str, content: &str, body: &str| {
        // A new token each time: a client that can create tokens is still one caller.
        let bearer = format!("Bearer {}", edge.issuer.token(&json!({"sub": subject})));
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", content)];
        edge.send(method, target, &headers, body.as_bytes()).status
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
    ends(&mut edge);
    for (subject, kind, ..) in floods {
        let events = of(&edge, kind, subject);
        assert_eq!(events.iter().map(stands_for).sum::<u64>(), EACH as u64, "{subject}");
        // At first each is one event; then counts follow after 1, 5, 25 seconds and a minute. The test takes at
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
    let cut = of(&edge, "ticket.denied", "denied").remove(0);
    assert_eq!(cut["repo"], "r".repeat(128) + "\u{2026}");
    assert_eq!(cut["branch"], "b".repeat(128) + "\u{2026}");
}

#[test]
fn another_caller_and_another_reason_are_not_counted_with_a_flood() {
    let edge = edge();
    let flood = edge.issuer.token(&json!({"sub": "flood"}));
    for _ in 0..EACH {
        assert_eq!(edge.ask(&flood, "repo=other&branch=main").status, 403);
    }
    let one_by_one =
        |subject: &str| of(&edge, "ticket.denied", subject).iter().filter(|e| e["count"].is_null()).count();
    assert_eq!(one_by_one("flood"), INDIVIDUAL_PER_MINUTE);
    let honest = edge.issuer.token(&json!({"sub": "honest"}));
    for _ in 0..3 {
        assert_eq!(edge.ask(&honest, "repo=other&branch=main").status, 403);
    }
    assert_eq!(one_by_one("honest"), 3);
    assert_eq!(edge.ask(&flood, "repo=site&branch=a..b").status, 422);
    assert_eq!(of(&edge, "ticket.failed", "flood").len(), 1);
    // A count is written soon, while the flood continues.
    wait_until("a count", || of(&edge, "ticket.denied", "flood").iter().any(|event| stands_for(event) > 1));
    // Every granted request is one event with complete names.
    for _ in 0..30 {
        assert_eq!(edge.ask(&flood, &format!("repo=site&branch={}", "b".repeat(900))).status, 201);
    }
    let issued = of(&edge, "ticket.issued", "flood");
    assert_eq!(issued.len(), 30);
    assert!(issued.iter().all(|event| event["branch"] == "b".repeat(900)));
}

#[test]
fn a_download_is_not_repeated_more_often_than_its_caller_may_ask() {
    let edge = Edge::start(
        &json!({"homelab/site/main": {"K": "v"}}),
        &[("site", allow(&["homelab/{repo}/{branch}"], &json!({})))],
        &json!({}),
        &[("CLAVIGER__LIMITS__REQUESTSPERSECONDPERCALLER", "5")],
    );
    let path = download_path(&edge.asks("repo=site&branch=main"));
    let get = || edge.send("GET", &path, &[("Idempotency-Key", "one-and-the-same")], b"").status;
    assert_eq!((get(), get()), (200, 200), "the first, and a repetition of it");
    let statuses: Vec<u16> = (0..60).map(|_| get()).collect();
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 429).count() > 20, "{statuses:?}");
}
