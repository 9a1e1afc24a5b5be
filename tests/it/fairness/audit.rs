//! The audit log: its volume, and its copy on standard output.

use super::{from, in_memory, in_postgres, is_fair};
use serde_json::{Value, json};

fn long(number: usize) -> String {
    format!("repo={}&branch={}-{number}", "r".repeat(250), "b".repeat(800))
}

#[test]
fn a_caller_who_is_denied_at_its_limit_leaves_others_their_tickets_and_the_log_its_room() {
    let edge = in_memory();
    let denied = edge.issuer.token(&json!({"sub": "denied"}));
    let came = is_fair(&edge, &edge.issuer, None, |number| {
        let answer = from(&edge, "203.0.113.7", "POST", "/v1/tickets", Some(&denied), &long(number));
        assert!([403, 429].contains(&answer.status), "{answer:?}");
    });
    assert!(came > 50, "{came}");
    let of_it = |event: &Value| event["caller"]["subject"] == "denied";
    let events: Vec<Value> = edge.audit_events().into_iter().filter(of_it).collect();
    let bytes: usize = events.iter().map(|event| event.to_string().len()).sum();
    // Ten in a minute, and some counts.
    assert!((10..40).contains(&events.len()) && bytes < 40_000, "{} events of {bytes} bytes", events.len());
    let printed = edge.stdout();
    assert!((10..40).contains(&printed.lines().filter(|line| line.contains("\"denied\"")).count()));
}

#[test]
fn a_used_ticket_shown_again_and_again_leaves_others_theirs_and_the_log_its_room() {
    let (edge, _) = in_postgres();
    let token = edge.issuer.token(&json!({"sub": "again"}));
    let issued = from(&edge, "203.0.113.7", "POST", "/v1/tickets", Some(&token), "repo=site&branch=main");
    let path = crate::rig::claviger::download_path(&issued);
    assert_eq!(from(&edge, "203.0.113.7", "GET", &path, None, "").status, 200);
    is_fair(&edge, &edge.issuer, None, |_| {
        let status = from(&edge, "203.0.113.7", "GET", &path, None, "").status;
        assert!([410, 429].contains(&status), "{status}");
    });
}
