//! `POST /v1/secrets`: the bundle in the response itself, if the policies allow it.

use super::assert_problem;
use crate::rig::http::Answer;
use crate::rig::oidc::{TestServer, allow};
use serde_json::{Value, json};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

fn server() -> TestServer {
    let site = |ways: Value| allow(&["homelab/{repo}/{branch}"], &json!({"repos": ["site"], "delivery": ways}));
    let policies = [
        ("direct", site(json!(["direct", "ticket"]))),
        ("nothing", allow(&["homelab/none"], &json!({"repos": ["empty"], "delivery": ["direct"]}))),
        ("tickets", allow(&["homelab/site/main"], &json!({"repos": ["tickets"]}))),
        ("both", allow(&["homelab/site/main"], &json!({"repos": ["both"], "delivery": ["ticket"]}))),
        ("both-direct", allow(&["homelab/site/main"], &json!({"repos": ["both"], "delivery": ["direct"]}))),
    ];
    TestServer::start(&json!({"homelab/site/main": {"TOKEN": "s3cret", "ODD": "a\u{0}b"}}), &policies, &json!({}), &[])
}

fn request_secrets(server: &TestServer, form: &str) -> Answer {
    let bearer = format!("Bearer {}", server.issuer.token(&json!({})));
    server.send("POST", "/v1/secrets", &[("Authorization", &bearer), FORM], form.as_bytes())
}

fn last_event(server: &TestServer) -> Value {
    server.audit_events().into_iter().next_back().unwrap()
}

#[test]
fn the_answer_is_the_bundle() {
    let server = server();
    let answer = request_secrets(&server, "repo=site&branch=main&keys=TOKEN");
    assert_eq!((answer.status, answer.text().as_str()), (200, "export TOKEN='s3cret'\n# claviger: 1 keys\n"));
    for (name, value) in [("cache-control", "no-store"), ("content-type", "text/plain; charset=utf-8")] {
        assert_eq!(answer.header(name).as_deref(), Some(value), "{answer:?}");
    }
    for name in ["content-length", "repr-digest", "x-claviger-versions", "x-request-id"] {
        assert!(answer.header(name).is_some(), "no {name}: {answer:?}");
    }
    let event = last_event(&server);
    assert_eq!((&event["type"], &event["outcome"]), (&json!("secrets.read"), &json!("ok")));
    assert_eq!((&event["keys"], &event["policies"]), (&json!(["TOKEN"]), &json!(["direct"])));
    assert_eq!(event["requestId"].as_str(), answer.header("x-request-id").as_deref());
    assert!(event["ticketId"].is_null() && !event.to_string().contains("s3cret"));
}

#[test]
fn the_format_is_chosen_by_the_body_or_by_accept() {
    let server = server();
    let form = "repo=site&branch=main&keys=TOKEN";
    assert_eq!(request_secrets(&server, &format!("{form}&format=json")).text(), r#"{"TOKEN":"s3cret"}"#);
    assert_eq!(request_secrets(&server, &format!("{form}&format=raw")).text(), "s3cret");
    let bearer = format!("Bearer {}", server.issuer.token(&json!({})));
    let accepts = [("Authorization", bearer.as_str()), FORM, ("Accept", "application/json")];
    assert_eq!(server.send("POST", "/v1/secrets", &accepts, form.as_bytes()).text(), r#"{"TOKEN":"s3cret"}"#);
    let json = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let body = br#"{"repo":"site","branch":"main","keys":["TOKEN"],"format":"dotenv"}"#;
    assert!(server.send("POST", "/v1/secrets", &json, body).text().starts_with("TOKEN="));

    for wrong in ["format=xml", "format=", "format=json&format=json", "key=TOKEN", "ttl=99h"] {
        assert_problem(&request_secrets(&server, &format!("{form}&{wrong}")), 400, "invalid_request");
        assert_eq!(last_event(&server)["reason"], "invalid_request", "{wrong}");
    }
    assert_problem(&request_secrets(&server, "repo=site&branch=main&format=raw"), 400, "invalid_request");
    assert_problem(&request_secrets(&server, "repo=site&branch=main"), 422, "unrenderable");
    assert_problem(&server.asks(&format!("{form}&format=json")), 400, "invalid_request");
}

#[test]
fn direct_delivery_requires_the_permission_of_every_policy() {
    let server = server();
    for repo in ["tickets", "both"] {
        assert_problem(&request_secrets(&server, &format!("repo={repo}&branch=main")), 403, "delivery_not_allowed");
        let event = last_event(&server);
        assert_eq!((&event["type"], &event["outcome"]), (&json!("secrets.read"), &json!("denied")), "{repo}");
    }
    assert_problem(&request_secrets(&server, "repo=other&branch=main"), 403, "denied");
    let event = last_event(&server);
    assert_eq!((&event["type"], &event["reason"]), (&json!("secrets.read"), &json!("no_policy_matches")));
    assert_problem(&server.asks("repo=empty&branch=main"), 403, "delivery_not_allowed");
    assert_problem(&server.send("POST", "/v1/secrets", &[FORM], b"repo=site&branch=main"), 401, "unauthenticated");
    assert_eq!(server.send("GET", "/v1/secrets", &[], b"").status, 405);
}

#[test]
fn missing_secrets_give_an_empty_answer_unless_required() {
    let server = server();
    let answer = request_secrets(&server, "repo=empty&branch=main");
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert_eq!(answer.header("content-length").as_deref(), Some("0"));
    assert_problem(&request_secrets(&server, "repo=empty&branch=main&required=true"), 404, "secret_not_found");
}
