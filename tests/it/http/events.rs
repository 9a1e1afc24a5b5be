//! The audit log: the events of each verb, written before the response.

use crate::rig::claviger::download_path;
use crate::rig::http::Answer;
use crate::rig::oidc::{TestServer, allow};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const MEMBERS: [&str; 20] = [
    "id",
    "time",
    "chain",
    "seq",
    "prevHash",
    "type",
    "outcome",
    "reason",
    "caller",
    "sourceIp",
    "repo",
    "branch",
    "policies",
    "keys",
    "ticketId",
    "secrets",
    "requestId",
    "traceId",
    "durationMs",
    "hash",
];

fn events_of_type(server: &TestServer, kind: &str) -> Vec<Value> {
    server.audit_events().into_iter().filter(|event| event["type"] == kind).collect()
}

/// The event of an answer, found by their common request id.
fn event_of(server: &TestServer, answer: &Answer) -> Value {
    let id = answer.header("x-request-id").unwrap();
    let events: Vec<Value> =
        server.audit_events().into_iter().filter(|event| event["requestId"] == id.as_str()).collect();
    assert_eq!(events.len(), 1, "one event a request: {events:?}");
    events.into_iter().next().unwrap()
}

fn two_sites() -> TestServer {
    let secrets = json!({"homelab/site/main": {"TOKEN": "s3cret", "A B": "x"}, "homelab/half": {"L": "v"}});
    let policies = [
        ("both", allow(&["homelab/{repo}/{branch}", "homelab/none"], &json!({"repos": ["site"]}))),
        ("site", allow(&["homelab/{repo}/{branch}"], &json!({"repos": ["site"]}))),
        ("ban", allow(&[], &json!({"effect": "deny", "secrets": null, "repos": ["banned"]}))),
        (
            "half",
            allow(
                &[],
                &json!({"repos": ["half"], "secrets": [{"store": "local", "path": "homelab/half", "required": true, "keys": ["K"]}]}),
            ),
        ),
    ];
    TestServer::start(&secrets, &policies, &json!({}), &[])
}

#[test]
fn events_of_allowed_requests_have_everything_but_the_values() {
    let server = two_sites();
    let issued = server.asks("repo=site&branch=main");
    let ticket = issued.json();
    let redeemed = server.download(&format!("{}?format=json", download_path(&issued)));
    for (answer, kind) in [(&issued, "ticket.issued"), (&redeemed, "ticket.redeemed")] {
        let event = event_of(&server, answer);
        assert_eq!((&event["type"], &event["outcome"], &event["reason"]), (&json!(kind), &json!("ok"), &Value::Null));
        assert_eq!(
            event["caller"],
            json!({"issuer": "ci", "subject": "build-1", "namespace": null, "serviceAccount": null, "pod": null})
        );
        assert_eq!(
            (&event["repo"], &event["branch"], &event["sourceIp"]),
            (&json!("site"), &json!("main"), &json!("127.0.0.1"))
        );
        assert_eq!((&event["policies"], &event["keys"]), (&json!(["both", "site"]), &json!(["A B", "TOKEN"])));
        assert_eq!(event["ticketId"], ticket["ticketId"]);
        let secret = json!({"store": "local", "path": "homelab/site/main", "version": null});
        assert_eq!(event["secrets"], json!([secret, secret]));
        let members: BTreeSet<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
        let expected: BTreeSet<&str> = MEMBERS.into_iter().filter(|member| *member != "hash").collect();
        assert_eq!(members, expected, "the hashed text has everything but its own hash");
        assert_eq!(event["id"], format!("{}.{}", event["chain"].as_str().unwrap(), event["seq"]));
        let time = event["time"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.parse::<Timestamp>().is_ok(), "{time}");
        assert!(event["durationMs"].as_u64().unwrap() < 20_000 && event["traceId"].is_null());
    }
    // The copy on standard output is the same event, with its hash.
    let printed: Vec<Value> = server
        .stdout()
        .lines()
        .filter(|line| !line.contains("audit.checkpoint"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let members: BTreeSet<&str> = printed[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, BTreeSet::from(MEMBERS));
    let without_hash: Vec<Value> = printed
        .into_iter()
        .map(|mut event| {
            event.as_object_mut().unwrap().remove("hash");
            event
        })
        .collect();
    assert_eq!(without_hash, server.audit_events()[..without_hash.len()]);
}

#[test]
fn events_of_refused_requests_have_the_reason() {
    let server = two_sites();
    let denied = server.asks("repo=other&branch=main");
    let banned = server.asks("repo=banned&branch=main");
    for (answer, policies) in [(&denied, json!([])), (&banned, json!(["ban"]))] {
        let event = event_of(&server, answer);
        assert_eq!((&event["type"], &event["outcome"]), (&json!("ticket.denied"), &json!("denied")));
        assert!(event["reason"].is_string() && event["ticketId"].is_null(), "{event}");
        assert_eq!(
            (&event["policies"], &event["caller"]["subject"], &event["secrets"]),
            (&policies, &json!("build-1"), &json!([]))
        );
    }
    for (form, reason) in [
        ("repo=..&branch=main", "invalid_repo"),
        ("repo=site&branch=a..b", "invalid_branch"),
        ("repo=site", "branch_missing"),
        ("repo=site&branch=main&ttl=99h", "invalid_request"),
        ("repo=site&branch=none&required=true", "secret_not_found"),
        ("repo=half&branch=main", "key_absent"),
    ] {
        let event = event_of(&server, &server.asks(form));
        assert_eq!((&event["type"], &event["outcome"]), (&json!("ticket.failed"), &json!("failed")), "{form}");
        assert_eq!((&event["reason"], &event["ticketId"]), (&json!(reason), &Value::Null), "{form}");
        // An invalid name is not repeated.
        assert_eq!(event["repo"].is_null(), reason == "invalid_repo", "{form}");
    }
    // An unreadable request is recorded too.
    let bearer = format!("Bearer {}", server.issuer.token(&json!({})));
    for (content_type, body, reason) in [
        ("application/json", "{\"repo\"".to_owned(), "invalid_request"),
        ("text/plain", "repo=site&branch=main".to_owned(), "unsupported_media_type"),
        ("application/json", " ".repeat(70_000), "payload_too_large"),
    ] {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", content_type)];
        let event = event_of(&server, &server.send("POST", "/v1/tickets", &headers, body.as_bytes()));
        assert_eq!((&event["type"], &event["reason"]), (&json!("ticket.failed"), &json!(reason)));
        assert_eq!(event["caller"]["subject"], "build-1");
    }
    let issued = server.asks("repo=site&branch=main");
    let unrenderable = event_of(&server, &server.download(&download_path(&issued)));
    assert_eq!((&unrenderable["outcome"], &unrenderable["reason"]), (&json!("failed"), &json!("unrenderable")));
    assert_eq!(unrenderable["ticketId"], issued.json()["ticketId"]);
    server.download(&format!("{}?format=json", download_path(&issued)));
    let again = event_of(&server, &server.download(&download_path(&issued)));
    assert_eq!(
        (&again["type"], &again["outcome"], &again["reason"]),
        (&json!("ticket.rejected"), &json!("denied"), &json!("already_redeemed"))
    );
    assert_eq!((&again["ticketId"], &again["caller"]["subject"]), (&issued.json()["ticketId"], &json!("build-1")));
}

#[test]
fn requests_that_attempt_nothing_leave_no_event() {
    let server = two_sites();
    let path = server.new_download_path();
    let before = server.audit_events();
    for method in ["HEAD", "PUT", "OPTIONS"] {
        crate::rig::http::exchange(
            server.api,
            format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes(),
        );
    }
    server.send("GET", &path, &[("Purpose", "prefetch")], b"");
    server.download(&format!("{path}?format=xml"));
    server.download("/nowhere");
    assert_eq!(server.audit_events(), before);
}

#[test]
fn only_a_sane_request_id_of_the_caller_s_is_kept() {
    let server = two_sites();
    let bearer = format!("Bearer {}", server.issuer.token(&json!({})));
    let longest = "a".repeat(64);
    let too_long = "a".repeat(65);
    for (id, kept) in [
        ("build-7.a_b", true),
        (longest.as_str(), true),
        (too_long.as_str(), false),
        ("", false),
        ("a b", false),
        ("$(id)", false),
        ("a\u{e9}", false),
    ] {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json"), ("X-Request-Id", id)];
        let answer = server.send("POST", "/v1/tickets", &headers, br#"{"repo":"site","branch":"main"}"#);
        let event = event_of(&server, &answer);
        assert_eq!(event.get("clientRequestId"), kept.then(|| json!(id)).as_ref(), "{id:?}");
    }
}

#[test]
fn events_of_answered_requests_are_in_the_database_after_kill_9() {
    let mut server = two_sites();
    for round in 1..=5 {
        let issued = server.asks("repo=site&branch=main&keys=TOKEN");
        server.kill_and_restart();
        assert_eq!(events_of_type(&server, "ticket.issued").len(), round * 2 - 1);
        // The ticket ended with the process, without an event.
        assert_eq!(server.download(&download_path(&issued)).status, 404);
        let path = server.download_path_for("repo=site&branch=main&keys=TOKEN");
        assert_eq!(server.download(&path).status, 200);
        server.kill_and_restart();
        assert_eq!(events_of_type(&server, "ticket.redeemed").len(), round);
        assert_eq!(server.download(&path).status, 404);
    }
}

#[test]
fn malformed_requests_are_counted_completely_in_few_events() {
    const EACH: u64 = 5_000;
    let server = two_sites();
    let address = server.api;
    let unknown = format!("GET /v1/downloads/{}.{} HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(22), "A".repeat(43));
    let garbage = "POST /v1/tickets HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x.y.z\r\nContent-Length: 0\r\n\r\n";
    let last = "GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let started = Instant::now();
    std::thread::scope(|scope| {
        for request in [unknown.as_str(), garbage] {
            for _ in 0..EACH / 100 {
                let requests = request.repeat(100) + last;
                scope.spawn(move || crate::rig::http::exchange(address, requests.as_bytes()));
            }
        }
    });
    let (mut rows, mut counted) = (0, [0; 2]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while counted != [EACH; 2] {
        assert!(Instant::now() < deadline, "{counted:?} of {EACH}");
        std::thread::sleep(Duration::from_millis(50));
        let sums = [events_of_type(&server, "ticket.rejected"), events_of_type(&server, "authn.failed")];
        rows = sums.iter().map(Vec::len).sum();
        counted = sums.map(|events| events.iter().map(|event| event["count"].as_u64().unwrap()).sum());
    }
    let most = usize::try_from(started.elapsed().as_secs() + 2).unwrap() * 2;
    assert!(rows <= most, "{rows} rows in {:?}", started.elapsed());
    let event = events_of_type(&server, "authn.failed").remove(0);
    assert_eq!(
        (&event["sourceIp"], &event["caller"], &event["outcome"]),
        (&json!("127.0.0.1"), &Value::Null, &json!("denied"))
    );
}
