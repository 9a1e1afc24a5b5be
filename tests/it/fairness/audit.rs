//! The audit log: its volume, and its copy on standard output.

use super::{assert_fair, in_memory, in_postgres, send_from};
use serde_json::{Value, json};

fn long(number: usize) -> String {
    format!("repo={}&branch={}-{number}", "r".repeat(250), "b".repeat(800))
}

#[test]
fn a_caller_who_is_denied_at_its_limit_does_not_slow_others_and_fills_no_log() {
    let server = in_memory();
    let denied = server.issuer.token(&json!({"sub": "denied"}));
    let came = assert_fair(&server, &server.issuer, None, |number| {
        let answer = send_from(&server, "203.0.113.7", "POST", "/v1/tickets", Some(&denied), &long(number));
        assert!([403, 429].contains(&answer.status), "{answer:?}");
    });
    assert!(came > 50, "{came}");
    let of_it = |event: &Value| event["caller"]["subject"] == "denied";
    let events: Vec<Value> = server.audit_events().into_iter().filter(of_it).collect();
    let bytes: usize = events.iter().map(|event| event.to_string().len()).sum();
    // Ten in a minute, and some counts.
    assert!((10..40).contains(&events.len()) && bytes < 40_000, "{} events of {bytes} bytes", events.len());
    let printed = server.stdout();
    assert!((10..40).contains(&printed.lines().filter(|line| line.contains("\"denied\"")).count()));
}

#[test]
fn repeated_requests_with_a_used_ticket_do_not_slow_other_callers() {
    let (server, _) = in_postgres();
    let token = server.issuer.token(&json!({"sub": "again"}));
    let issued = send_from(&server, "203.0.113.7", "POST", "/v1/tickets", Some(&token), "repo=site&branch=main");
    let path = crate::rig::claviger::download_path(&issued);
    assert_eq!(send_from(&server, "203.0.113.7", "GET", &path, None, "").status, 200);
    assert_fair(&server, &server.issuer, None, |_| {
        let status = send_from(&server, "203.0.113.7", "GET", &path, None, "").status;
        assert!([410, 429].contains(&status), "{status}");
    });
}
