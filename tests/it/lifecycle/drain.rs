//! Shutdown: after SIGTERM waiting tickets can be redeemed, after SIGINT they cannot.

use crate::rig::claviger::{Claviger, Dev, download_path, wait_until};
use crate::rig::http::{Answer, request};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Far less than the lifetime of a ticket, two minutes.
const SOON: Duration = Duration::from_secs(20);

fn ask(claviger: &Claviger, more: &str) -> Answer {
    claviger.ask(&claviger.token("token"), &format!("repo=moreira.dev&branch=main{more}"))
}

#[test]
fn a_drain_lets_every_waiting_ticket_be_redeemed_and_issues_no_other() {
    let mut claviger = Claviger::sample();
    let (first, second) = (claviger.ticket("moreira.dev", "main"), claviger.ticket("moreira.dev", "main"));
    assert!(claviger.is_ready());
    claviger.signal("TERM");
    wait_until("the drain", || !claviger.is_ready());
    let refused = ask(&claviger, "");
    assert_eq!((refused.status, refused.code().as_str()), (503, "draining"));
    assert_eq!(refused.header("connection").as_deref(), Some("close"));
    assert!(refused.header("retry-after").is_some());

    for path in [&first, &second] {
        assert!(request(claviger.ops, "GET", "/livez", &[], b"").status == 200);
        // A reload does not shorten the drain.
        claviger.signal("HUP");
        assert_eq!(claviger.download(path).status, 200);
    }
    assert!(claviger.wait(SOON).success());
    let events = claviger.audit_events();
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["ticket.issued", "ticket.issued", "ticket.failed", "ticket.redeemed", "ticket.redeemed"]);
}

#[test]
fn tickets_in_sqlite_wait_for_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("claviger.db").display());
    let start = || {
        let environment = [("CLAVIGER__DATABASE__URL", url.as_str()), ("CLAVIGER__TICKETS__STORE", "database")];
        Claviger::dev(&Dev { environment: &environment, ..Dev::default() })
    };
    let mut old = start();
    let (redeemed, waiting) = (old.ticket("moreira.dev", "main"), old.ticket("moreira.dev", "main"));
    assert_eq!(old.download(&redeemed).status, 200);
    old.signal("TERM");
    assert!(old.wait(SOON).success(), "the drain does not wait for a ticket");

    let new = start();
    assert_eq!(new.download(&waiting).status, 200);
    for path in [&redeemed, &waiting] {
        assert_eq!(new.download(path).code(), "ticket_redeemed");
    }
    assert_eq!(ask(&new, "").status, 201);
}

#[test]
fn a_drain_waits_for_no_ticket_longer_than_it_lives() {
    let mut claviger = Claviger::sample();
    download_path(&ask(&claviger, "&ttl=2s"));
    claviger.signal("TERM");
    wait_until("the drain", || !claviger.is_ready());
    assert!(claviger.wait(SOON).success());
    assert_eq!(claviger.audit_events().last().unwrap()["type"], "ticket.expired");
}

#[test]
fn without_a_waiting_ticket_a_drain_is_over_at_once() {
    let mut claviger = Claviger::sample();
    let path = claviger.ticket("moreira.dev", "main");
    assert_eq!(claviger.download(&path).status, 200);
    claviger.signal("TERM");
    assert!(claviger.wait(SOON).success());
}

#[test]
fn a_second_signal_cuts_the_drain_short() {
    for second in ["TERM", "INT"] {
        let mut claviger = Claviger::sample();
        claviger.ticket("moreira.dev", "main");
        claviger.signal("TERM");
        wait_until("the drain", || !claviger.is_ready());
        claviger.signal(second);
        assert!(claviger.wait(SOON).success(), "{second}");
        assert_eq!(claviger.count_logged("stopped"), 1);
    }
}

#[test]
fn an_interrupt_does_not_wait_for_tickets() {
    let mut claviger = Claviger::sample();
    claviger.ticket("moreira.dev", "main");
    claviger.signal("INT");
    assert!(claviger.wait(SOON).success());
    assert_eq!(claviger.audit_events().len(), 1, "the events are durable");
}

#[test]
fn a_client_that_connected_before_the_end_is_answered() {
    let claviger = Claviger::sample();
    let mut early = TcpStream::connect(claviger.api).unwrap();
    claviger.signal("TERM");
    std::thread::sleep(Duration::from_millis(100));
    early.write_all(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("connection: close"), "{answer:?}");
}
