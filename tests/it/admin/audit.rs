//! `/v1/audit`: events by page, as lines and by filter, and the verification of the chain; only for
//! administrators.

use super::{ApiUser, problem};
use crate::rig::claviger::{Claviger, audit_texts};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

const LINES: (&str, &str) = ("Accept", "application/x-ndjson");

fn items(person: &ApiUser, target: &str) -> Vec<Value> {
    let answer = person.get(target);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["items"].as_array().unwrap().clone()
}

/// Three tickets of the sample caller, each redeemed twice, and one refused request.
fn some_events(claviger: &Claviger) {
    for branch in ["main", "f/x", "main"] {
        let path = claviger.ticket("moreira.dev", branch);
        assert_eq!(claviger.download(&path).status, 200);
        assert_eq!(claviger.download(&path).status, 410);
    }
    assert_eq!(claviger.ask(&claviger.token("token"), "repo=other&branch=main").status, 403);
}

#[test]
fn the_api_returns_events_as_the_hashed_text_newest_first() {
    let claviger = Claviger::sample();
    some_events(&claviger);
    let admin = ApiUser::admin(&claviger);
    let answer = admin.get("/v1/audit");
    assert_eq!(answer.header("content-type").as_deref(), Some("application/json"));
    assert_eq!(answer.header("cache-control").as_deref(), Some("private, no-cache"));
    let body = answer.text();
    let texts = audit_texts(&claviger.folder.path().join("claviger.db"));
    assert_eq!(texts.len(), 10);
    let mut place = 0;
    for text in texts.iter().rev() {
        let hash = digest(&SHA256, text.as_bytes());
        let hash = hash.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let whole = format!("{},\"hash\":\"{hash}\"}}", text.strip_suffix('}').unwrap());
        let found = body[place..].find(&whole);
        place += found.unwrap_or_else(|| panic!("{whole} is missing or out of order in {body}")) + whole.len();
    }
    assert_eq!(answer.json()["items"].as_array().unwrap().len(), texts.len());
    assert!(answer.json().get("continue").is_none());
}

#[test]
fn pages_and_ndjson_have_the_same_events() {
    let claviger = Claviger::sample();
    some_events(&claviger);
    let admin = ApiUser::admin(&claviger);
    let all = items(&admin, "/v1/audit");
    let (mut paged, mut target) = (Vec::new(), "/v1/audit?limit=3".to_owned());
    loop {
        let page = admin.get(&target).json();
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["continue"].as_str() else { break };
        assert_eq!(page["items"].as_array().unwrap().len(), 3);
        target = format!("/v1/audit?limit=3&continue={next}");
    }
    assert_eq!(paged, all);
    let answer = admin.send("GET", "/v1/audit", &[LINES], b"");
    assert_eq!((answer.status, answer.header("content-type").as_deref()), (200, Some("application/x-ndjson")));
    let lines: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, all);
    let some = admin.send("GET", "/v1/audit?type=ticket.issued&limit=2", &[LINES], b"").text();
    assert_eq!(some.lines().count(), 2);
    assert_eq!(admin.send("GET", "/v1/audit?type=lease.failed", &[LINES], b"").text(), "");
}

#[test]
fn filters_select_events_and_invalid_ones_are_refused_with_the_allowed_values() {
    let claviger = Claviger::sample();
    some_events(&claviger);
    let admin = ApiUser::admin(&claviger);
    let all = items(&admin, "/v1/audit");
    let ticket = all.iter().find(|event| event["type"] == "ticket.redeemed").unwrap()["ticketId"].as_str().unwrap();
    for (query, count) in [
        ("type=ticket.issued", 3),
        ("type=ticket.rejected&outcome=denied", 3),
        ("outcome=ok", 6),
        ("outcome=failed", 0),
        ("repo=moreira.dev", 9),
        ("repo=moreira.dev&branch=f%2Fx", 3),
        ("branch=main", 7),
        ("subject=sample-build", all.iter().filter(|event| event["caller"]["subject"] == "sample-build").count()),
        (&format!("ticketId={ticket}"), 3),
        ("since=2020-01-01T00:00:00Z", 10),
        ("until=2020-01-01T00:00:00Z", 0),
    ] {
        assert_eq!(items(&admin, &format!("/v1/audit?{query}")).len(), count, "{query}");
    }
    for (query, detail) in [
        ("type=ticket", "ticket.issued, ticket.denied"),
        ("outcome=good", "ok, denied, failed"),
        ("since=yesterday", "RFC 3339"),
        ("limit=1001", "1 to 1000"),
        ("ticketId=x", "22 characters"),
        ("continue=x", "continue"),
        ("repo=", "repo"),
        ("nonsense=1", "since, until, type, subject"),
    ] {
        let answer = admin.get(&format!("/v1/audit?{query}"));
        assert_eq!(problem(&answer), (400, "invalid_request".into()), "{query}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(detail), "{answer:?}");
    }
    assert_eq!(problem(&admin.get("/v1/audit/verify?x=1")), (400, "invalid_request".into()));
    assert_eq!(items(&admin, "/v1/audit").len(), 10, "reading the log leaves no event");
}

#[test]
fn verification_succeeds_until_a_row_is_changed() {
    let claviger = Claviger::sample();
    some_events(&claviger);
    let admin = ApiUser::admin(&claviger);
    let verified = admin.get("/v1/audit/verify");
    assert_eq!(verified.json(), json!({"ok": true, "events": 10, "chains": 1, "firstBroken": null}));
    claviger.write("DELETE FROM audit_events WHERE seq = 6");
    let chain = items(&admin, "/v1/audit")[0]["chain"].clone();
    assert_eq!(
        admin.get("/v1/audit/verify").json(),
        json!({"ok": false, "events": 9, "chains": 1, "firstBroken": {"chain": chain, "seq": 6, "reason": "missing"}})
    );
}

#[test]
fn only_administrators_read_the_audit_log() {
    let claviger = Claviger::sample();
    let build = ApiUser::build(&claviger);
    for target in ["/v1/audit", "/v1/audit/verify"] {
        assert_eq!(problem(&build.get(target)), (403, "denied".into()));
        assert_eq!(problem(&build.send("GET", target, &[LINES], b"")), (403, "denied".into()));
        assert_eq!(claviger.send("GET", target, &[], b"").status, 401);
    }
    let denied = claviger.audit_events().into_iter().filter(|event| event["type"] == "admin.denied").count();
    assert_eq!(denied, 4);
}
