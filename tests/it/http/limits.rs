//! Rates and limits: a caller who sends too many requests must wait, and no other caller.

use super::assert_problem;
use crate::rig::claviger::download_path;
use crate::rig::oidc::{TestServer, allow};
use serde_json::json;

fn with(config: &serde_json::Value, environment: &[(&str, &str)]) -> TestServer {
    TestServer::start(
        &json!({"homelab/site/main": {"TOKEN": "s3cret"}}),
        &[("site", allow(&["homelab/{repo}/{branch}"], &json!({"ticket": {"bindTo": "none"}})))],
        config,
        environment,
    )
}

#[test]
fn requests_of_a_caller_are_limited_per_second() {
    let server = with(&json!({}), &[("CLAVIGER__LIMITS__REQUESTSPERSECONDPERCALLER", "5")]);
    let honest = server.issuer.token(&json!({"sub": "build-2"}));
    // The limit applies to the subject, because a caller may create any number of tokens.
    let greedy: [&dyn Fn() -> String; 2] =
        [&|| server.issuer.token(&json!({"jti": "greedy"})), &|| server.issuer.token(&json!({}))];
    for token in greedy {
        let mut refused = 0;
        for _ in 0..40 {
            let answer = server.ask(&token(), "repo=site&branch=main");
            if answer.status != 201 {
                assert_problem(&answer, 429, "rate_limited");
                refused += 1;
            }
        }
        assert!(refused > 10, "{refused} of 40 were refused");
        assert_eq!(server.ask(&honest, "repo=site&branch=main").status, 201, "another caller is not limited");
    }
    // Bad and unreadable requests count too.
    for form in ["repo=..&branch=main", "%"] {
        let another = server.issuer.token(&json!({}));
        let limited = (0..40).filter(|_| server.ask(&another, form).status == 429).count();
        assert!(limited > 10, "{limited} of 40 were refused");
    }
}

#[test]
fn waiting_tickets_of_a_caller_are_limited() {
    let server = with(&json!({"tickets": {"maxLivePerPod": 3}}), &[]);
    let (hoarder, honest) =
        (server.issuer.token(&json!({"jti": "hoarder"})), server.issuer.token(&json!({"jti": "honest"})));
    let tickets: Vec<_> = (0..3).map(|_| server.ask(&hoarder, "repo=site&branch=main")).collect();
    assert!(tickets.iter().all(|answer| answer.status == 201));
    for _ in 0..3 {
        assert_problem(&server.ask(&hoarder, "repo=site&branch=main"), 429, "rate_limited");
    }
    assert_eq!(server.ask(&honest, "repo=site&branch=main").status, 201);
    // The same subject in another job is another caller.
    assert_eq!(server.asks("repo=site&branch=main").status, 201);
    assert_eq!(server.download(&download_path(&tickets[0])).status, 200);
    assert_eq!(server.ask(&hoarder, "repo=site&branch=main").status, 201, "a redeemed ticket no longer counts");
    assert_problem(&server.ask(&hoarder, "repo=site&branch=main"), 429, "rate_limited");
}

#[test]
fn every_refused_redemption_is_counted_by_its_outcome() {
    let server = with(&json!({}), &[("CLAVIGER__LIMITS__FAILURESPERSECONDPERADDRESS", "5")]);
    let path = server.new_download_path();
    assert_eq!(server.download(&path).status, 200);
    let statuses: Vec<u16> = (0..40).map(|_| server.download(&path).status).collect();
    assert!(statuses.iter().all(|status| [410, 429].contains(status)), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 429).count() > 10, "{statuses:?}");
    assert_eq!(server.count(r#"claviger_ticket_redemptions_total{outcome="already_redeemed"}"#), 40);
    assert_eq!(server.count(r#"claviger_ticket_redemptions_total{outcome="unknown"}"#), 0);
}

#[test]
fn failures_of_an_address_are_limited_per_second() {
    let server = with(&json!({}), &[("CLAVIGER__LIMITS__FAILURESPERSECONDPERADDRESS", "5")]);
    let path = server.new_download_path();
    let unknown = format!("/v1/downloads/{}.{}", "A".repeat(22), "A".repeat(43));
    let mut limited = 0;
    for _ in 0..40 {
        let answer = server.download(&unknown);
        if answer.status == 429 {
            assert_problem(&answer, 429, "rate_limited");
            limited += 1;
        } else {
            assert_problem(&answer, 404, "ticket_unknown");
        }
    }
    assert!(limited > 10, "{limited} of 40 were limited");
    assert_eq!(server.download(&path).status, 200, "a valid ticket is redeemed once");
}

#[test]
fn a_used_ticket_cannot_fill_the_audit_log() {
    let server = with(&json!({}), &[("CLAVIGER__LIMITS__FAILURESPERSECONDPERADDRESS", "5")]);
    let path = server.new_download_path();
    assert_eq!(server.download(&path).status, 200);
    let before = server.audit_events().len();
    let mut told = 0;
    for _ in 0..200 {
        let answer = server.download(&path);
        if answer.status == 410 {
            told += 1;
        } else {
            assert_problem(&answer, 429, "rate_limited");
        }
    }
    assert!(told >= 5, "a client with the key gets the reason: {told}");
    server.signal("TERM");
    let mut server = server;
    server.wait(std::time::Duration::from_secs(10));
    let events = server.audit_events();
    let written = &events[before..];
    assert!(written.len() < 100, "{} events for 200 tries", written.len());
    let count = |event: &serde_json::Value| event["count"].as_u64().unwrap_or(1);
    let counted: u64 = written.iter().filter(|event| event["reason"] == "already_redeemed").map(count).sum();
    assert_eq!(counted, 200, "each attempt is in the log, alone or counted");
}
