//! `ticket.maxPerCaller`: how many tickets one caller gets from a policy, on all replicas together and after a restart.

use crate::rig::claviger::{download_path, wait_until};
use crate::rig::http::Answer;
use crate::rig::oidc::{TestServer, allow};
use crate::rig::postgres::postgres;
use crate::rig::replicas::{Replicas, new_database};
use serde_json::{Value, json};
use std::sync::Barrier;

const ASK: &str = "repo=site&branch=main";

fn secrets() -> Value {
    json!({"homelab/site/main": {"TOKEN": "s3cret"}, "shared/site": {"URL": "https://x"}})
}

/// A policy with this limit, and one without.
fn policies(max: u32) -> [(&'static str, Value); 2] {
    [
        ("site", allow(&["homelab/{repo}/{branch}"], &json!({"ticket": {"maxPerCaller": max}}))),
        ("shared", allow(&["shared/{repo}"], &json!({}))),
    ]
}

fn refused(answer: &Answer) {
    assert_eq!((answer.status, answer.code().as_str()), (403, "ticket_limit"), "{answer:?}");
}

#[test]
fn concurrent_requests_on_three_replicas_get_exactly_the_limit() {
    const MAX: u32 = 7;
    const RACERS: usize = 60;
    let replicas = Replicas::start(3, &new_database(postgres()), &secrets(), &policies(MAX), &json!({}));
    for round in 0..3 {
        let token = replicas.token();
        let start = Barrier::new(RACERS);
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let asks = (0..RACERS).map(|number| {
                let (replicas, token, start) = (&replicas, &token, &start);
                scope.spawn(move || {
                    start.wait();
                    replicas.get(number).ask(token, ASK)
                })
            });
            asks.collect::<Vec<_>>().into_iter().map(|ask| ask.join().unwrap()).collect()
        });
        let (issued, others): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
        assert_eq!(issued.len(), MAX as usize, "round {round}");
        // On a busy machine an event may not be written in time: then no ticket is issued.
        let (late, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|answer| answer.status == 503);
        assert!(late.len() < others.len(), "{late:?}");
        others.into_iter().for_each(refused);
        // Redeemed tickets count too.
        assert_eq!(replicas.get(0).download(&download_path(issued[0])).status, 200);
        refused(&replicas.get(1).ask(&token, ASK));
    }
    assert_eq!(replicas.get(0).ask(&replicas.token(), ASK).status, 201, "another caller has its own limit");
    let events = replicas.events();
    assert_eq!(events.iter().filter(|event| event["type"] == "ticket.issued").count(), 3 * MAX as usize + 1);
    let denied: Vec<_> = events.iter().filter(|event| event["reason"] == "ticket_limit").collect();
    assert!(!denied.is_empty());
    for event in denied {
        assert_eq!((&event["type"], &event["outcome"]), (&json!("ticket.denied"), &json!("denied")));
        assert_eq!((&event["policies"], &event["ticketId"]), (&json!(["shared", "site"]), &Value::Null), "{event}");
    }
}

#[test]
fn the_lowest_limit_applies_and_policies_that_grant_nothing_do_not_count() {
    let limit = |max: u32| json!({"ticket": {"maxPerCaller": max}});
    let policies = [
        ("a", allow(&["homelab/{repo}/{branch}"], &limit(3))),
        ("b", allow(&["shared/{repo}"], &json!({"ticket": {"maxPerCaller": 2}, "branches": ["main"]}))),
    ];
    let server = TestServer::start(&secrets(), &policies, &json!({}), &[]);
    let token = server.issuer.token(&json!({}));
    let ask = |form: &str| server.claviger.ask(&token, form);
    assert_eq!(ask(ASK).status, 201);
    assert_eq!(ask(ASK).status, 201);
    refused(&ask(ASK));
    // For another branch only policy `a` counts: one of its three tickets is left.
    assert_eq!(ask("repo=site&branch=dev").status, 201);
    refused(&ask("repo=site&branch=dev"));
    assert_eq!(server.claviger.count("claviger_ticket_requests_total{code=\"ticket_limit\",outcome=\"denied\"}"), 2);
    assert_eq!(server.asks(ASK).status, 201, "another caller has its own limit");
}

#[test]
fn a_restart_on_sqlite_forgets_no_ticket() {
    let config = json!({"tickets": {"store": "database"}});
    let mut server = TestServer::start(&secrets(), &policies(2), &config, &[]);
    let token = server.issuer.token(&json!({}));
    assert_eq!(server.claviger.ask(&token, ASK).status, 201);
    assert_eq!(server.claviger.ask(&token, ASK).status, 201);
    refused(&server.claviger.ask(&token, ASK));
    server.kill_and_restart();
    refused(&server.claviger.ask(&token, ASK));
    assert_eq!(server.asks(ASK).status, 201, "another caller has its own limit");
    let count = || server.claviger.count("claviger_ticket_requests_total{code=\"ticket_limit\",outcome=\"denied\"}");
    wait_until("the refusal to be counted", || count() == 1);
}

#[test]
fn a_refused_request_reads_no_secret() {
    let server = TestServer::start(&secrets(), &policies(1), &json!({}), &[]);
    let token = server.issuer.token(&json!({}));
    assert_eq!(server.claviger.ask(&token, ASK).status, 201);
    let reads = || server.claviger.sum("claviger_store_requests_total");
    let before = reads();
    refused(&server.claviger.ask(&token, ASK));
    assert_eq!(reads(), before);
    assert_eq!(server.asks(ASK).status, 201);
    assert!(reads() > before);
}
