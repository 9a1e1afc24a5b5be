//! `POST /v1/tickets`: bodies of every kind; only valid ones give a ticket.

use super::assert_problem;
use crate::rig::http::{Answer, exchange, parse};
use crate::rig::oidc::TestServer;
use crate::vault_api::assert_errors;
use serde_json::json;

const FORM: &str = "application/x-www-form-urlencoded";

fn post(server: &TestServer, content_type: Option<&str>, body: &[u8]) -> Answer {
    let bearer = format!("Bearer {}", server.issuer.token(&json!({})));
    let mut headers = vec![("Authorization", bearer.as_str())];
    headers.extend(content_type.map(|value| ("Content-Type", value)));
    server.send("POST", "/v1/tickets", &headers, body)
}

#[test]
fn hostile_json_is_refused() {
    let server = TestServer::with_one_secret();
    let good = r#"{"repo":"site","branch":"main"}"#;
    assert_eq!(server.asks_json(good).status, 201);
    assert_eq!(server.asks_json(&format!(" \r\n\t{good}\n")).status, 201);
    assert_eq!(server.asks_json(r#"{"repo":"site","branch":"\u006dain"}"#).status, 201);
    let deep = |open: &str, close: &str| format!(r#"{{"repo":{}"x"{}}}"#, open.repeat(10_000), close.repeat(10_000));
    let unknown_deep = format!(r#"{{"repo":"site","branch":"main","x":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for body in [
        "",
        " ",
        "null",
        "true",
        "1",
        "\"repo=site\"",
        "[]",
        r#"["site","main"]"#,
        r#"[{"repo":"site","branch":"main"}]"#,
        "{",
        "{}",
        r#"{"repo":"site"}"#,
        r#"{"branch":"main"}"#,
        r#"{"repo":"site","branch":"main",}"#,
        "{'repo':'site','branch':'main'}",
        r#"{"repo":"site","branch":"main"}{}"#,
        r#"{"repo":"site","branch":"main"} x"#,
        r#"{"repo":"site","branch":"main"}//"#,
        "{\"repo\":\"site\",\"branch\":\"main\"}\0",
        "\u{feff}{\"repo\":\"site\",\"branch\":\"main\"}",
        r#"{"repo":"site","repo":"site","branch":"main"}"#,
        r#"{"repo":"site","branch":"main","r\u0065po":"site"}"#,
        r#"{"repo":"site","branch":"main","Repo":"site"}"#,
        r#"{"repo":"site","branch":"main","x":1}"#,
        r#"{"repo":null,"branch":"main"}"#,
        r#"{"repo":"site","branch":null}"#,
        r#"{"repo":"site","branch":1}"#,
        r#"{"repo":"site","branch":["main"]}"#,
        r#"{"repo":"site","branch":{"a":"main"}}"#,
        r#"{"repo":"site","branch":"main","ttl":null}"#,
        r#"{"repo":"site","branch":"main","ttl":60}"#,
        r#"{"repo":"site","branch":"main","ttl":0}"#,
        r#"{"repo":"site","branch":"main","ttl":-1}"#,
        r#"{"repo":"site","branch":"main","ttl":1e400}"#,
        r#"{"repo":"site","branch":"main","keys":null}"#,
        r#"{"repo":"site","branch":"main","keys":"TOKEN"}"#,
        r#"{"repo":"site","branch":"main","keys":[null]}"#,
        r#"{"repo":"site","branch":"main","keys":[["TOKEN"]]}"#,
        r#"{"repo":"site","branch":"main","required":null}"#,
        r#"{"repo":"site","branch":"main","required":"true"}"#,
        r#"{"repo":"site","branch":"main","required":1}"#,
        r#"{"repo":"site","branch":"\ud800"}"#,
        r#"{"repo":"site","branch":"\udc00\ud800"}"#,
        r#"{"repo":"site","branch":"main\ud83d"}"#,
        &deep("[", "]"),
        &deep(r#"{"a":"#, "}"),
        &unknown_deep,
    ] {
        let answer = server.asks_json(body);
        assert_problem(&answer, 400, "invalid_request");
        assert!(answer.body.len() < 1000, "the body is not sent back");
    }
    for body in [
        &b"{\"repo\":\"site\",\"branch\":\"ma\xffin\"}"[..],
        b"\xff\xfe{\0}\0",
        b"{\"repo\":\"site\",\"branch\":\"ma\nin\"}",
    ] {
        assert_problem(&post(&server, Some("application/json"), body), 400, "invalid_request");
    }
    assert_eq!(server.count("claviger_tickets_outstanding"), 3);
}

#[test]
fn hostile_forms_are_refused() {
    let server = TestServer::with_one_secret();
    assert_eq!(server.asks("branch=main&repo=site").status, 201);
    assert_eq!(server.asks("&repo=site&&branch=ma%69n&").status, 201);
    for body in [
        "",
        "repo=site",
        "branch=main",
        "repo",
        "repo=site&branch",
        "repo=site&branch=main&branch=main",
        "repo=site&branch=main&r%65po=site",
        "repo=site&branch=main&x=1",
        "repo=site&branch=main&Ttl=60s",
        "repo=site&branch=main&required=",
        "repo=site&branch=main&required=1",
        "repo=site&branch=main&required=True",
        "repo=site&branch=main%",
        "repo=site&branch=main%2",
        "repo=site&branch=main%zz",
        "repo=site&branch=main%ff",
        "repo=site&branch=%C0%AF",
        r#"{"repo":"site","branch":"main"}"#,
        "repo[]=site&branch=main",
    ] {
        assert_problem(&server.asks(body), 400, "invalid_request");
    }
    assert_problem(&post(&server, Some(FORM), b"repo=site&branch=ma\xffin"), 400, "invalid_request");
}

#[test]
fn another_content_type_is_415() {
    let server = TestServer::with_one_secret();
    let form = b"repo=site&branch=main".as_slice();
    for good in [FORM, "application/x-www-form-urlencoded; charset=UTF-8", "Application/X-WWW-Form-UrlEncoded"] {
        assert_eq!(post(&server, Some(good), form).status, 201, "{good}");
    }
    for bad in [
        "text/plain",
        "multipart/form-data; boundary=x",
        "text/json",
        "application/jsonx",
        "application/problem+json",
        "*/*",
        "application/xml",
        "",
    ] {
        assert_problem(&post(&server, Some(bad), form), 415, "unsupported_media_type");
    }
    assert_problem(&post(&server, None, form), 415, "unsupported_media_type");
    assert_problem(&post(&server, Some("application/json"), form), 400, "invalid_request");
}

#[test]
fn a_body_has_64_kib_at_most() {
    let server = TestServer::with_one_secret();
    let json = |size: usize| {
        let body = r#"{"repo":"site","branch":"main"}"#;
        format!("{body}{}", " ".repeat(size - body.len()))
    };
    assert_eq!(server.asks_json(&json(65_536)).status, 201);
    assert_problem(&server.asks_json(&json(65_537)), 413, "payload_too_large");
    let form = |size: usize| format!("repo=site&branch=main{}", "&".repeat(size - 21));
    assert_eq!(server.asks(&form(65_536)).status, 201);
    assert_problem(&server.asks(&form(65_537)), 413, "payload_too_large");

    // The announced length counts, not the received one.
    let bearer = server.issuer.token(&json!({}));
    let send = |length: &str, body: &str| {
        let head = format!(
            "POST /v1/tickets HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\nContent-Type: {FORM}\r\n{length}\r\n"
        );
        exchange(server.api, (head + body).as_bytes())
    };
    let huge = send("Content-Length: 18446744073709551615\r\n", "repo=site&branch=main");
    assert!(huge.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&huge));
    let announced = parse(&send("Content-Length: 70000\r\n", ""));
    assert_problem(&announced, 413, "payload_too_large");
    assert_eq!(announced.header("connection").as_deref(), Some("close"));
    let absent = send("Connection: close\r\n", "");
    assert_problem(&parse(&absent), 400, "invalid_request");
    // The length is wrong and the rest is not a request, so the connection is closed after the first answer.
    let short = send("Content-Length: 21\r\n", &format!("repo=site&branch=main{}", "x".repeat(100_000)));
    let short = String::from_utf8_lossy(&short);
    assert!(short.starts_with("HTTP/1.1 201 "), "{short}");
    assert_eq!(short.matches("HTTP/1.1 2").count(), 1, "{short}");
}

#[test]
fn transfer_encoding_is_411_everywhere() {
    let server = TestServer::with_one_secret();
    let bearer = format!("Bearer {}", server.issuer.token(&json!({})));
    let path = server.new_download_path();
    for coding in ["chunked", "Chunked", "gzip, chunked"] {
        for (method, target) in
            [("POST", "/v1/tickets"), ("GET", path.as_str()), ("POST", path.as_str()), ("GET", "/nowhere")]
        {
            let head = format!(
                "{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: {bearer}\r\nContent-Type: {FORM}\r\nTransfer-Encoding: {coding}\r\n\r\n15\r\nrepo=site&branch=main\r\n0\r\n\r\n"
            );
            let answer = parse(&exchange(server.api, head.as_bytes()));
            assert_problem(&answer, 411, "length_required");
            assert_eq!(answer.header("connection").as_deref(), Some("close"), "{method} {target}");
        }
    }
    assert_eq!(server.download(&path).status, 200, "nothing was consumed");
    let counted = server.claviger.metric("claviger_ticket_requests_total{code=\"length_required\",outcome=\"failed\"}");
    assert!((counted - 3.0).abs() < 0.1, "one request for a ticket with each coding: {counted}");
}

#[test]
fn only_post_asks_for_tickets() {
    let server = TestServer::with_one_secret();
    // Administrators list the outstanding tickets, and revoke those that match.
    assert_problem(&server.send("GET", "/v1/tickets", &[], b""), 401, "unauthenticated");
    assert_problem(&server.send("DELETE", "/v1/tickets", &[], b""), 401, "unauthenticated");
    for method in ["PUT", "PATCH", "TRACE", "PROPFIND"] {
        let answer = server.send(method, "/v1/tickets", &[], b"");
        assert_problem(&answer, 405, "method_not_allowed");
        assert_eq!(answer.header("allow").as_deref(), Some("GET, POST, DELETE"), "{method}");
    }
    let answer = server.send("OPTIONS", "/v1/tickets", &[], b"");
    assert_eq!((answer.status, answer.header("allow").as_deref()), (204, Some("GET, POST, DELETE")));
    for path in ["/", "/v1", "/v1/tickets/", "/v1/downloads", "/v1/downloads/"] {
        assert_problem(&server.send("POST", path, &[], b""), 404, "not_found");
    }
    for path in ["/v1/", "/v1//tickets", "/v1/Tickets", "/v1/tickets%2f"] {
        assert_errors(&server.send("POST", path, &[], b""), 403, "denied: ");
    }
}

#[test]
fn query_parameters_are_refused_and_recorded() {
    let server = TestServer::with_one_secret();
    let bearer = format!("Bearer {}", server.issuer.token(&json!({})));
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", FORM)];
    let send = |target: &str| server.send("POST", target, &headers, b"repo=site&branch=main");
    for (target, allowed, kind) in [("/v1/tickets", 201, "ticket.failed"), ("/v1/secrets", 403, "secrets.read")] {
        assert_eq!(send(target).status, allowed, "{target}");
        assert_eq!(send(&format!("{target}?")).status, allowed, "{target}: an empty query has no parameter");
        for query in ["required=true", "repo=site", "x", "access_token=hunter2"] {
            let answer = send(&format!("{target}?{query}"));
            assert_problem(&answer, 400, "invalid_request");
            assert_eq!(answer.json()["detail"], "no query parameters are allowed");
            let event = server.audit_events().pop().unwrap();
            assert_eq!(
                (&event["type"], &event["outcome"], &event["reason"], &event["requestId"]),
                (&json!(kind), &json!("failed"), &json!("invalid_request"), &answer.header("x-request-id").into()),
                "{target}?{query}"
            );
        }
        // An unauthenticated client does not learn of it.
        let unknown = [("Authorization", "Bearer x.y.z"), ("Content-Type", FORM)];
        let answer = server.send("POST", &format!("{target}?x"), &unknown, b"repo=site&branch=main");
        assert_problem(&answer, 401, "unauthenticated");
    }
    assert_eq!(server.count(r#"claviger_ticket_requests_total{code="invalid_request",outcome="failed"}"#), 4);
}
