//! The audit log cannot be written: nothing is released, nothing is consumed, and afterwards everything works as
//! before.

use super::assert_problem;
use crate::rig::oidc::{Edge, allow};
use crate::rig::unwritable::Lock;
use serde_json::json;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn while_it_cannot_be_written_nothing_is_released_and_nothing_consumed() {
    let server = json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0", "trustedProxies": ["127.0.0.1/32"]});
    let policies = [("p", allow(&["homelab/{repo}"], &json!({"repos": ["site"]})))];
    let edge = Edge::start(&json!({"homelab/site": {"K": "v"}}), &policies, &json!({"server": server}), &[]);
    let (first, second, used) = (edge.usual_path(), edge.usual_path(), edge.usual_path());
    assert_eq!(edge.download(&used).status, 200);
    let before = edge.audit_events().len();
    let lock = Lock::take(&edge);
    let started = Instant::now();
    thread::scope(|scope| {
        let refused = [
            scope.spawn(|| edge.download(&first)),
            scope.spawn(|| edge.send("POST", &first, &[], b"")),
            // It is not burned either: what cannot be recorded is not done.
            scope.spawn(|| edge.send("GET", &second, &[("X-Forwarded-For", "203.0.113.9")], b"")),
            scope.spawn(|| edge.download(&used)),
            scope.spawn(|| edge.asks("repo=site&branch=main")),
            scope.spawn(|| edge.asks("repo=other&branch=main")),
        ];
        for answer in refused {
            let answer = answer.join().unwrap();
            // Of two racing requests for one ticket, the loser may be told that the ticket is gone although it is
            // not.
            if answer.status != 410 {
                assert_problem(&answer, 503, "audit_unavailable");
            }
            assert!(!answer.text().contains("export"), "{answer:?}");
        }
    });
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    drop(lock);
    assert_eq!(edge.audit_events().len(), before, "none of it is in the log");
    for path in [&first, &second] {
        assert_eq!(edge.download(path).text(), "export K='v'\n# claviger: 1 keys\n");
        assert_problem(&edge.download(path), 410, "ticket_redeemed");
    }
    assert_eq!(edge.asks("repo=site&branch=main").status, 201);
    assert_eq!(edge.count("claviger_tickets_outstanding"), 1, "the one that was not told is withdrawn");
}

#[test]
fn a_short_lock_is_waited_for() {
    let edge = Edge::usual();
    let path = edge.usual_path();
    let lock = Lock::take(&edge);
    let answer = thread::scope(|scope| {
        let waiting = scope.spawn(|| edge.download(&path));
        thread::sleep(Duration::from_millis(300));
        assert!(!waiting.is_finished(), "it is told before it is durable");
        drop(lock);
        waiting.join().unwrap()
    });
    assert_eq!(answer.status, 200);
    assert_eq!(edge.audit_events().last().unwrap()["type"], "ticket.redeemed");
}

#[test]
fn what_nobody_waits_for_is_written_later() {
    let edge = Edge::usual();
    let path = edge.path("repo=site&branch=main&ttl=1s");
    let lock = Lock::take(&edge);
    for _ in 0..50 {
        assert_problem(&edge.ask("x.y.z", "repo=site&branch=main"), 401, "unauthenticated");
    }
    // Long enough for the writer to give up.
    let complained = || edge.log().contains("audit events could not be written");
    wait_until(complained, "the writer says that it cannot write");
    drop(lock);
    assert_eq!(edge.asks("repo=site&branch=main").status, 201);
    let counted = || {
        let failed = edge.audit_events().into_iter().filter(|event| event["type"] == "authn.failed");
        failed.map(|event| event["count"].as_u64().unwrap()).sum::<u64>()
    };
    wait_until(|| counted() == 50, "each bad bearer is in the log");
    wait_until(
        || edge.audit_events().iter().any(|event| event["type"] == "ticket.expired"),
        "the ticket's end is in the log",
    );
    assert_problem(&edge.download(&path), 410, "ticket_expired");
}

#[test]
fn ten_thousand_failed_writes_release_not_one_byte() {
    const EACH: usize = 5_000;
    const SECRET: &str = "s3cret-that-must-not-leave";
    let site = json!({"repos": ["site"], "delivery": ["ticket", "direct"]});
    let policies = [("p", allow(&["homelab/{repo}"], &site))];
    let edge = Edge::start(&json!({"homelab/site": {"K": SECRET}}), &policies, &json!({}), &[]);
    let path = edge.usual_path();
    let before = edge.audit_events().len();
    edge.write("CREATE TRIGGER full BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'the disk is full'); END");
    let download = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let body = "repo=site&branch=main";
    let read = format!(
        "POST /v1/secrets HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        edge.issuer.token(&json!({})),
        body.len()
    );
    let last = "GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let address = edge.api;
    let refused: usize = thread::scope(|scope| {
        let mut workers = Vec::new();
        for request in [&download, &read] {
            for _ in 0..EACH / 250 {
                let requests = request.repeat(250) + last;
                workers.push(scope.spawn(move || {
                    let said = crate::rig::http::exchange(address, requests.as_bytes());
                    let said = String::from_utf8_lossy(&said).into_owned();
                    assert!(!said.contains(SECRET) && !said.contains("HTTP/1.1 200"), "{said}");
                    said.matches(r#""code":"audit_unavailable""#).count()
                        + said.matches(r#""code":"ticket_redeemed""#).count()
                }));
            }
        }
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    // Of two racing requests for one ticket, the loser may be told that the ticket is gone although it is not.
    assert_eq!(refused, 2 * EACH);
    assert_eq!(edge.audit_events().len(), before);
    edge.write("DROP TRIGGER full");
    assert!(edge.download(&path).text().contains(SECRET), "it was not consumed");
}

fn wait_until(come_true: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !come_true() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
