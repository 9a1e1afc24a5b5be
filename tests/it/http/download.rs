//! `/v1/downloads/{ticket}`: one complete download, only by `GET` and `POST`.

use super::assert_problem;
use crate::rig::http::{Answer, exchange, hex};
use crate::rig::oidc::{TestServer, allow};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

const EXPORT: &str = "export TOKEN='s3cret'\nexport URL='https://x'\n# claviger: 2 keys\n";

/// Checks what every download guarantees.
fn assert_complete(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let digest = format!("sha-256=:{}:", STANDARD.encode(digest(&SHA256, &answer.body)));
    assert_eq!(answer.header("repr-digest"), Some(digest));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string()));
    assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
    let versions = answer.header("x-claviger-versions").unwrap();
    assert!(versions.len() >= 32 && versions.bytes().all(|b| b.is_ascii_hexdigit()), "{versions}");
    assert_eq!(answer.header("x-request-id").unwrap().len(), 32);
    for absent in [
        "content-encoding",
        "content-range",
        "transfer-encoding",
        "accept-ranges",
        "etag",
        "last-modified",
        "x-claviger-stale",
        "set-cookie",
        "vary",
    ] {
        assert_eq!(answer.header(absent), None, "{absent}");
    }
}

#[test]
fn a_bundle_is_delivered_once() {
    let server = TestServer::with_one_secret();
    for method in ["GET", "POST"] {
        let path = server.new_download_path();
        let answer = server.send(method, &path, &[], b"");
        assert_complete(&answer);
        assert_eq!(answer.text(), EXPORT);
        for again in ["GET", "POST"] {
            let answer = server.send(again, &path, &[], b"");
            assert_problem(&answer, 410, "ticket_redeemed");
            let at = answer.json()["redeemedAt"].as_str().unwrap().to_owned();
            assert!(at.ends_with('Z') && at.parse::<Timestamp>().is_ok(), "{at}");
        }
    }
    assert_eq!(server.count(r#"claviger_ticket_redemptions_total{outcome="redeemed"}"#), 2);
    assert_eq!(server.count(r#"claviger_ticket_redemptions_total{outcome="already_redeemed"}"#), 4);
    assert_eq!(server.count("claviger_tickets_outstanding"), 0);
}

#[test]
fn the_format_is_that_of_the_query_or_else_that_of_accept() {
    let server = TestServer::with_one_secret();
    let json = json!({"TOKEN": "s3cret", "URL": "https://x"});
    for (query, accept, media_type) in [
        ("", "", "text/plain"),
        ("", "*/*", "text/plain"),
        ("", "text/html", "text/plain"),
        ("?format=export", "application/json", "text/plain"),
        ("?format=dotenv", "application/json", "text/plain"),
        ("?", "application/json", "application/json"),
        ("", "application/json", "application/json"),
        ("?format=json", "text/plain", "application/json"),
    ] {
        let headers: &[(&str, &str)] = if accept.is_empty() { &[] } else { &[("Accept", accept)] };
        let answer = server.send("GET", &format!("{}{query}", server.new_download_path()), headers, b"");
        assert_complete(&answer);
        assert!(answer.header("content-type").unwrap().starts_with(media_type), "{query} {accept}: {answer:?}");
        if media_type == "application/json" {
            assert_eq!(answer.json(), json);
        } else {
            assert!(answer.text().ends_with("# claviger: 2 keys\n"), "{answer:?}");
        }
    }
}

#[test]
fn invalid_requests_do_not_consume_the_ticket() {
    let server = TestServer::with_one_secret();
    let path = server.new_download_path();
    for query in [
        "format=",
        "format",
        "format=xml",
        "format=JSON",
        "format=json%00",
        "format=%6ason",
        "format=json&format=json",
        "format=json&format=export",
        "format=json&x=1",
        "Format=json",
        "formats=json",
        "key=TOKEN",
        "format=json;x",
        "format=../export",
    ] {
        assert_problem(&server.download(&format!("{path}?{query}")), 400, "invalid_request");
    }
    for query in ["format=raw", "format=raw&key=", "format=raw&key=TOKEN&key=TOKEN", "format=tar&key=TOKEN"] {
        assert_problem(&server.download(&format!("{path}?{query}")), 400, "invalid_request");
    }
    assert_problem(&server.download(&format!("{path}?format=raw&key=NOBODY")), 404, "secret_not_found");
    for keys in [&[("Idempotency-Key", "a b")][..], &[("Idempotency-Key", "a"), ("Idempotency-Key", "a")]] {
        assert_problem(&server.send("GET", &path, keys, b""), 400, "invalid_request");
    }
    assert_eq!(server.download(&path).text(), EXPORT);
}

#[test]
fn other_methods_and_prefetches_do_not_consume_the_ticket() {
    let server = TestServer::with_one_secret();
    let path = server.new_download_path();
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "QUERY", "get"] {
        let answer = server.send(method, &path, &[], b"");
        assert_problem(&answer, 405, "method_not_allowed");
        assert_eq!(answer.header("allow").as_deref(), Some("GET, POST"), "{method}");
    }
    let head = exchange(server.api, format!("HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 405 ") && head.contains("\r\nallow: get, post\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let answer = server.send("OPTIONS", &path, &[], b"");
    assert_eq!((answer.status, answer.header("allow").as_deref(), answer.body.len()), (204, Some("GET, POST"), 0));
    for (name, value) in [
        ("Sec-Purpose", "prefetch"),
        ("Sec-Purpose", "prefetch;prerender"),
        ("Purpose", "prefetch"),
        ("X-Moz", "prefetch"),
        ("X-Purpose", "preview"),
    ] {
        let answer = server.send("GET", &path, &[(name, value)], b"");
        if name == "X-Purpose" {
            assert_complete(&answer);
        } else {
            assert_problem(&answer, 403, "prefetch_refused");
        }
    }
    assert_problem(&server.download(&path), 410, "ticket_redeemed");
}

#[test]
fn range_conditional_and_encoding_headers_are_ignored() {
    let server = TestServer::start(
        &json!({"homelab/site/main": {"BIG": "a".repeat(100_000)}}),
        &[("p", allow(&["homelab/{repo}/{branch}"], &json!({})))],
        &json!({}),
        &[],
    );
    for headers in [
        &[("Range", "bytes=0-9")][..],
        &[("Range", "bytes=99999999-")],
        &[("Range", "bytes=0-1,4-5"), ("If-Range", "Sat, 01 Jan 2000 00:00:00 GMT")],
        &[("If-None-Match", "*")],
        &[("If-Match", "\"x\"")],
        &[("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT")],
        &[("If-Unmodified-Since", "Sat, 01 Jan 2000 00:00:00 GMT")],
        &[("Accept-Encoding", "gzip, br, zstd, deflate")],
        &[("TE", "trailers, gzip")],
        &[
            ("Upgrade", "h2c"),
            ("Connection", "Upgrade, HTTP2-Settings"),
            ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ],
        &[("Origin", "https://evil.invalid")],
    ] {
        let answer = server.send("GET", &server.new_download_path(), headers, b"");
        assert_complete(&answer);
        assert_eq!(answer.body.len(), "export BIG=''\n# claviger: 1 keys\n".len() + 100_000, "{headers:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[test]
fn a_format_that_cannot_represent_a_key_is_refused_and_the_ticket_is_not_consumed() {
    for (bundle, format, key) in [
        (json!({"A B": "x"}), "export", "A B"),
        (json!({"OK": "x", "nul": "a\u{0}b"}), "export", "nul"),
        (json!({"LD_PRELOAD": "/evil.so"}), "export", "LD_PRELOAD"),
        (json!({"LD_PRELOAD": "/evil.so"}), "dotenv", "LD_PRELOAD"),
        (json!({"1A": "x"}), "dotenv", "1A"),
    ] {
        let secrets = json!({"homelab/site/main": bundle});
        let server =
            TestServer::start(&secrets, &[("p", allow(&["homelab/{repo}/{branch}"], &json!({})))], &json!({}), &[]);
        let path = server.new_download_path();
        for _ in 0..2 {
            let answer = server.download(&format!("{path}?format={format}"));
            assert_problem(&answer, 422, "unrenderable");
            assert!(answer.json()["detail"].as_str().unwrap().contains(&format!("{key:?}")), "{answer:?}");
            assert!(!answer.text().contains("evil"), "the answer contains no value");
        }
        let answer = server.download(&format!("{path}?format=json"));
        assert_complete(&answer);
        assert_eq!(answer.json(), bundle);
        assert_problem(&server.download(&path), 410, "ticket_redeemed");
    }
}

#[test]
fn the_versions_digest_changes_only_with_the_secret() {
    let server = TestServer::start(
        &json!({"homelab/a": {"K": "1"}, "homelab/b": {"K": "1"}}),
        &[("p", allow(&["homelab/{repo}"], &json!({})))],
        &json!({}),
        &[],
    );
    let versions = |repo: &str, query: &str| {
        let path = server.download_path_for(&format!("repo={repo}&branch=main"));
        server.download(&format!("{path}{query}")).header("x-claviger-versions").unwrap()
    };
    let first = versions("a", "");
    assert_eq!(versions("a", "?format=json"), first, "the format does not change the version");
    assert_ne!(versions("b", ""), first);
    let file = server.folder.path().join("secrets.yaml");
    std::fs::write(&file, json!({"homelab/a": {"K": "2"}, "homelab/b": {"K": "1"}}).to_string()).unwrap();
    server.signal("HUP");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while versions("a", "") == first {
        assert!(std::time::Instant::now() < deadline, "the rotation was not seen");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let second = versions("a", "");
    std::fs::write(&file, json!({"homelab/a": {"K": "1"}}).to_string()).unwrap();
    server.signal("HUP");
    while versions("a", "") == second {
        assert!(std::time::Instant::now() < deadline, "the second rotation was not seen");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(versions("a", ""), first, "the same values have the same digest");
    // The digest uses a key: it cannot be computed from the value.
    for guess in ["1", "K=1", "{\"K\":\"1\"}"] {
        let plain = hex(digest(&SHA256, guess.as_bytes()).as_ref());
        assert!(!plain.starts_with(&first));
    }
}

#[test]
fn the_headers_and_the_log_of_a_download_do_not_contain_its_token() {
    let server = TestServer::with_one_secret();
    let path = server.new_download_path();
    let answer = server.send("GET", &path, &[("X-Request-Id", "mine-1")], b"");
    assert_ne!(answer.header("x-request-id").as_deref(), Some("mine-1"), "the request id is the server's own");
    let event: Value = server.audit_events().into_iter().find(|event| event["type"] == "ticket.redeemed").unwrap();
    assert_eq!(event["clientRequestId"], "mine-1");
    assert_eq!(event["requestId"].as_str(), answer.header("x-request-id").as_deref());
    let token = path.rsplit('/').next().unwrap();
    let (id, key) = token.split_once('.').unwrap();
    let told = format!("{:?}{}{}", answer.headers, server.log(), server.stdout());
    assert!(!told.contains(id) && !told.contains(key), "the headers repeat the URL: {told}");
}
