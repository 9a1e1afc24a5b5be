//! The audit log cannot be written: nothing is released, nothing is consumed, and afterwards all is as before.

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
            // Not even burned: what is not recorded is not done.
            scope.spawn(|| edge.send("GET", &second, &[("X-Forwarded-For", "203.0.113.9")], b"")),
            scope.spawn(|| edge.download(&used)),
            scope.spawn(|| edge.asks("repo=site&branch=main")),
            scope.spawn(|| edge.asks("repo=other&branch=main")),
        ];
        for answer in refused {
            let answer = answer.join().unwrap();
            // Of two who race for one ticket the loser may hear that it is gone, and then it is not.
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
    // Long enough for the writer to give up on them.
    let complained = || edge.log().contains("audit events cannot be written");
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

fn wait_until(come_true: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !come_true() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
