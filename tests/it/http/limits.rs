//! Rates and limits: a caller who sends too many requests must wait, and no other caller.

use super::assert_problem;
use crate::rig::claviger::download_path;
use crate::rig::oidc::{Edge, allow};
use serde_json::json;

fn with(config: &serde_json::Value, environment: &[(&str, &str)]) -> Edge {
    Edge::start(
        &json!({"homelab/site/main": {"TOKEN": "s3cret"}}),
        &[("site", allow(&["homelab/{repo}/{branch}"], &json!({"ticket": {"bindTo": "none"}})))],
        config,
        environment,
    )
}

#[test]
fn a_caller_has_so_many_requests_a_second() {
    let edge = with(&json!({}), &[("CLAVIGER__LIMITS__REQUESTSPERSECONDPERCALLER", "5")]);
    let honest = edge.issuer.token(&json!({"sub": "build-2"}));
    // A caller may be able to create any number of tokens: the limit applies to the subject, not to the token.
    let greedy: [&dyn Fn() -> String; 2] =
        [&|| edge.issuer.token(&json!({"jti": "greedy"})), &|| edge.issuer.token(&json!({}))];
    for token in greedy {
        let mut refused = 0;
        for _ in 0..40 {
            let answer = edge.ask(&token(), "repo=site&branch=main");
            if answer.status != 201 {
                assert_problem(&answer, 429, "rate_limited");
                refused += 1;
            }
        }
        assert!(refused > 10, "{refused} of 40 were refused");
        assert_eq!(edge.ask(&honest, "repo=site&branch=main").status, 201, "another is not held up");
    }
    // Bad and unreadable requests count too.
    for form in ["repo=..&branch=main", "%"] {
        let another = edge.issuer.token(&json!({}));
        let limited = (0..40).filter(|_| edge.ask(&another, form).status == 429).count();
        assert!(limited > 10, "{limited} of 40 were refused");
    }
}

#[test]
fn a_caller_has_so_many_tickets_waiting() {
    let edge = with(&json!({"tickets": {"maxLivePerPod": 3}}), &[]);
    let (hoarder, honest) =
        (edge.issuer.token(&json!({"jti": "hoarder"})), edge.issuer.token(&json!({"jti": "honest"})));
    let tickets: Vec<_> = (0..3).map(|_| edge.ask(&hoarder, "repo=site&branch=main")).collect();
    assert!(tickets.iter().all(|answer| answer.status == 201));
    for _ in 0..3 {
        assert_problem(&edge.ask(&hoarder, "repo=site&branch=main"), 429, "rate_limited");
    }
    assert_eq!(edge.ask(&honest, "repo=site&branch=main").status, 201);
    // The same subject in another job is another caller.
    assert_eq!(edge.asks("repo=site&branch=main").status, 201);
    assert_eq!(edge.download(&download_path(&tickets[0])).status, 200);
    assert_eq!(edge.ask(&hoarder, "repo=site&branch=main").status, 201, "a redeemed ticket makes room");
    assert_problem(&edge.ask(&hoarder, "repo=site&branch=main"), 429, "rate_limited");
}

#[test]
fn an_address_has_so_many_failures_a_second() {
    let edge = with(&json!({}), &[("CLAVIGER__LIMITS__FAILURESPERSECONDPERADDRESS", "5")]);
    let path = edge.usual_path();
    let unknown = format!("/v1/downloads/{}.{}", "A".repeat(22), "A".repeat(43));
    let mut limited = 0;
    for _ in 0..40 {
        let answer = edge.download(&unknown);
        if answer.status == 429 {
            assert_problem(&answer, 429, "rate_limited");
            limited += 1;
        } else {
            assert_problem(&answer, 404, "ticket_unknown");
        }
    }
    assert!(limited > 10, "{limited} of 40 were told to wait");
    assert_eq!(edge.download(&path).status, 200, "a good ticket is redeemed all the same, and once");
}

#[test]
fn a_used_ticket_cannot_fill_the_audit_log() {
    let edge = with(&json!({}), &[("CLAVIGER__LIMITS__FAILURESPERSECONDPERADDRESS", "5")]);
    let path = edge.usual_path();
    assert_eq!(edge.download(&path).status, 200);
    let before = edge.audit_events().len();
    let mut told = 0;
    for _ in 0..200 {
        let answer = edge.download(&path);
        if answer.status == 410 {
            told += 1;
        } else {
            assert_problem(&answer, 429, "rate_limited");
        }
    }
    assert!(told >= 5, "who proves the key learns why not: {told}");
    edge.signal("TERM");
    let mut edge = edge;
    edge.wait(std::time::Duration::from_secs(10));
    let events = edge.audit_events();
    let written = &events[before..];
    assert!(written.len() < 100, "{} events for 200 tries", written.len());
    let count = |event: &serde_json::Value| event["count"].as_u64().unwrap_or(1);
    let counted: u64 = written.iter().filter(|event| event["reason"] == "already_redeemed").map(count).sum();
    assert_eq!(counted, 200, "each try is in the log, alone or in a sum");
}
