//! The audit log cannot be written: nothing is released, nothing is consumed, and afterwards everything works as
//! before.

use super::assert_problem;
use crate::rig::claviger::wait_until;
use crate::rig::database_lock::DatabaseLock;
use crate::rig::oidc::{TestServer, allow};
use serde_json::json;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn while_the_log_cannot_be_written_nothing_is_released_or_consumed() {
    let server_section =
        json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0", "trustedProxies": ["127.0.0.1/32"]});
    let policies = [("p", allow(&["homelab/{repo}"], &json!({"repos": ["site"]})))];
    let server =
        TestServer::start(&json!({"homelab/site": {"K": "v"}}), &policies, &json!({"server": server_section}), &[]);
    let (first, second, used) = (server.new_download_path(), server.new_download_path(), server.new_download_path());
    assert_eq!(server.download(&used).status, 200);
    let before = server.audit_events().len();
    let lock = DatabaseLock::take(&server);
    let started = Instant::now();
    thread::scope(|scope| {
        let refused = [
            scope.spawn(|| server.download(&first)),
            scope.spawn(|| server.send("POST", &first, &[], b"")),
            // The ticket is not revoked either: an unrecorded event has no effect.
            scope.spawn(|| server.send("GET", &second, &[("X-Forwarded-For", "203.0.113.9")], b"")),
            scope.spawn(|| server.download(&used)),
            scope.spawn(|| server.asks("repo=site&branch=main")),
            scope.spawn(|| server.asks("repo=other&branch=main")),
        ];
        for answer in refused {
            let answer = answer.join().unwrap();
            // The loser of two concurrent requests for one ticket may get "gone" although the ticket is
            // not gone.
            if answer.status != 410 {
                assert_problem(&answer, 503, "audit_unavailable");
            }
            assert!(!answer.text().contains("export"), "{answer:?}");
        }
    });
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    drop(lock);
    assert_eq!(server.audit_events().len(), before, "no event was written");
    for path in [&first, &second] {
        assert_eq!(server.download(path).text(), "export K='v'\n# claviger: 1 keys\n");
        assert_problem(&server.download(path), 410, "ticket_redeemed");
    }
    assert_eq!(server.asks("repo=site&branch=main").status, 201);
    assert_eq!(server.count("claviger_tickets_outstanding"), 1, "the ticket without an event is withdrawn");
}

#[test]
fn a_short_lock_is_waited_for() {
    let server = TestServer::with_one_secret();
    let path = server.new_download_path();
    let lock = DatabaseLock::take(&server);
    let answer = thread::scope(|scope| {
        let waiting = scope.spawn(|| server.download(&path));
        thread::sleep(Duration::from_millis(300));
        assert!(!waiting.is_finished(), "the answer came before the event was durable");
        drop(lock);
        waiting.join().unwrap()
    });
    assert_eq!(answer.status, 200);
    assert_eq!(server.audit_events().last().unwrap()["type"], "ticket.redeemed");
}

#[test]
fn events_of_refusals_are_written_later() {
    let server = TestServer::with_one_secret();
    let path = server.download_path_for("repo=site&branch=main&ttl=1s");
    let lock = DatabaseLock::take(&server);
    for _ in 0..50 {
        assert_problem(&server.ask("x.y.z", "repo=site&branch=main"), 401, "unauthenticated");
    }
    // Long enough for the writer to give up.
    let complained = || server.log().contains("audit events could not be written");
    wait_until("the log to report failed writes", complained);
    drop(lock);
    assert_eq!(server.asks("repo=site&branch=main").status, 201);
    let counted = || {
        let failed = server.audit_events().into_iter().filter(|event| event["type"] == "authn.failed");
        failed.map(|event| event["count"].as_u64().unwrap()).sum::<u64>()
    };
    wait_until("each invalid token to be in the log", || counted() == 50);
    wait_until("the expiry of the ticket to be in the log", || {
        server.audit_events().iter().any(|event| event["type"] == "ticket.expired")
    });
    assert_problem(&server.download(&path), 410, "ticket_expired");
}

#[test]
fn ten_thousand_failed_writes_release_not_one_byte() {
    const EACH: usize = 5_000;
    const SECRET: &str = "s3cret-that-must-not-leave";
    let site = json!({"repos": ["site"], "delivery": ["ticket", "direct"]});
    let policies = [("p", allow(&["homelab/{repo}"], &site))];
    let server = TestServer::start(&json!({"homelab/site": {"K": SECRET}}), &policies, &json!({}), &[]);
    let path = server.new_download_path();
    let before = server.audit_events().len();
    server
        .write("CREATE TRIGGER full BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'the disk is full'); END");
    let download = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let body = "repo=site&branch=main";
    let read = format!(
        "POST /v1/secrets HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        server.issuer.token(&json!({})),
        body.len()
    );
    let last = "GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let address = server.api;
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
    // The loser of two concurrent requests for one ticket may get "gone" although the ticket is not gone.
    assert_eq!(refused, 2 * EACH);
    assert_eq!(server.audit_events().len(), before);
    server.write("DROP TRIGGER full");
    assert!(server.download(&path).text().contains(SECRET), "the ticket was not consumed");
}
