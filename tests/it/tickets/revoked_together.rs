//! `DELETE /v1/tickets`: revokes all waiting tickets of a policy, a subject or a repo, in every store.

use crate::rig::claviger::{Claviger, download_path};
use crate::rig::http::Answer;
use crate::rig::oidc::{TestServer, TokenIssuer, allow};
use crate::rig::postgres::postgres;
use crate::rig::replicas::{Replicas, new_database};
use serde_json::{Value, json};

fn policies() -> Vec<(&'static str, Value)> {
    let of = |repos: &[&str]| allow(&["homelab/{repo}"], &json!({"repos": repos, "ticket": {"bindTo": "none"}}));
    vec![("one", of(&["a", "both"])), ("two", of(&["b", "both"]))]
}

fn administrators() -> Value {
    json!({"static": [{"authenticator": "ci", "claims": {"role": "admin"}}]})
}

/// The behaviour of every ticket store.
fn contract(claviger: &Claviger, redeemer: &Claviger, issuer: &TokenIssuer, events: impl Fn() -> Vec<Value>) {
    let administer = |method: &str, target: &str| -> Answer {
        let bearer = format!("Bearer {}", issuer.token(&json!({"role": "admin", "sub": "alice"})));
        claviger.send(method, target, &[("Authorization", &bearer)], b"")
    };
    let issue = |subject: &str, repo: &str| {
        let answer = claviger.ask(&issuer.token(&json!({"sub": subject})), &format!("repo={repo}&branch=main"));
        assert_eq!(answer.status, 201, "{answer:?}");
        download_path(&answer)
    };
    let code = |path: &str| {
        let answer = redeemer.download(path);
        (answer.status, if answer.status == 200 { String::new() } else { answer.code() })
    };
    let revoked = || (410, "ticket_revoked".to_owned());
    let good = || (200, String::new());
    let revokes = |query: &str, count: usize| {
        let answer = administer("DELETE", &format!("/v1/tickets?{query}"));
        assert_eq!((answer.status, answer.json()), (200, json!({"revoked": count})), "{query}");
    };
    let (x, y) = ("system:serviceaccount:ci:x", "y");
    // By policy: every ticket that the policy contributed to.
    let paths = [issue(x, "a"), issue(x, "b"), issue(y, "both")];
    revokes("policy=one", 2);
    assert_eq!(paths.each_ref().map(|path| code(path)), [revoked(), good(), revoked()]);
    revokes("policy=one", 0);
    // By subject, by repo, and by both, where both must match.
    let paths = [issue(x, "a"), issue(y, "a"), issue(x, "b")];
    revokes("repo=a&subject=system%3Aserviceaccount%3Aci%3Ax", 1);
    revokes("subject=y&policy=two", 0);
    assert_eq!(paths.each_ref().map(|path| code(path)), [revoked(), good(), good()]);
    let paths = [issue(x, "a"), issue(y, "b"), issue(y, "a")];
    revokes("subject=y", 2);
    revokes("repo=a", 1);
    assert!(paths.iter().all(|path| code(path) == revoked()));
    // Only the exact name matches.
    let path = issue(x, "a");
    for query in ["policy=on", "policy=*", "subject=", "repo=A", "repo=a%20"] {
        let answer = administer("DELETE", &format!("/v1/tickets?{query}"));
        assert!(answer.status == 400 || answer.json() == json!({"revoked": 0}), "{query}: {answer:?}");
    }
    for query in ["", "?", "?subject=", "?repo=a&repo=a", "?branch=main", "?policy=one&limit=1"] {
        let answer = administer("DELETE", &format!("/v1/tickets{query}"));
        assert_eq!((answer.status, answer.code()), (400, "invalid_request".into()), "{query}");
    }
    let build = format!("Bearer {}", issuer.token(&json!({})));
    let refused = claviger.send("DELETE", "/v1/tickets?repo=a", &[("Authorization", &build)], b"");
    assert_eq!((refused.status, refused.code()), (403, "denied".into()));
    assert_eq!(claviger.send("DELETE", "/v1/tickets?repo=a", &[], b"").status, 401);
    assert_eq!(code(&path), good());
    // Each revocation is an event that names who revoked.
    let events: Vec<Value> = events().into_iter().filter(|event| event["type"] == "ticket.revoked").collect();
    assert_eq!(events.len(), 6);
    assert!(events.iter().all(|event| event["caller"]["subject"] == "alice" && event["ticketId"].is_string()));
}

fn secrets() -> Value {
    json!({"homelab/a": {"K": "v"}, "homelab/b": {"K": "v"}, "homelab/both": {"K": "v"}})
}

#[test]
fn in_memory() {
    let server = TestServer::start(&secrets(), &policies(), &json!({"administrators": administrators()}), &[]);
    contract(&server, &server, &server.issuer, || server.audit_events());
}

#[test]
fn in_an_sqlite_database() {
    let config = json!({"administrators": administrators(), "tickets": {"store": "database", "maxLivePerPod": 100}});
    let server = TestServer::start(&secrets(), &policies(), &config, &[]);
    contract(&server, &server, &server.issuer, || server.audit_events());
}

#[test]
fn in_a_postgresql_database_on_any_replica() {
    let replicas = Replicas::start(2, &new_database(postgres()), &secrets(), &policies(), &json!({}));
    contract(&replicas.get(0), &replicas.get(1), &replicas.issuer, || replicas.events());
}

#[test]
fn more_tickets_than_a_page() {
    let server = TestServer::start(&secrets(), &policies(), &json!({"administrators": administrators()}), &[]);
    let token = server.issuer.token(&json!({}));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..150).for_each(|_| assert_eq!(server.ask(&token, "repo=a&branch=main").status, 201)));
        }
    });
    let kept = server.download_path_for("repo=b&branch=main");
    let bearer = format!("Bearer {}", server.issuer.token(&json!({"role": "admin"})));
    let answer = server.send("DELETE", "/v1/tickets?repo=a", &[("Authorization", &bearer)], b"");
    assert_eq!(answer.json(), json!({"revoked": 1200}));
    assert_eq!(server.count("claviger_tickets_outstanding"), 1);
    assert_eq!(server.download(&kept).status, 200);
}
