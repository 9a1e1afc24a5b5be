//! `/v1/downloads/{ticket}`: once, complete, and only by `GET` and `POST`.

use super::assert_problem;
use crate::rig::http::{Answer, exchange, hex};
use crate::rig::oidc::{Edge, allow};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

const EXPORT: &str = "export TOKEN='s3cret'\nexport URL='https://x'\n# claviger: 2 keys\n";

/// Checks what every download guarantees.
fn assert_whole(answer: &Answer) {
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
fn a_bundle_is_handed_over_once() {
    let edge = Edge::usual();
    for method in ["GET", "POST"] {
        let path = edge.usual_path();
        let answer = edge.send(method, &path, &[], b"");
        assert_whole(&answer);
        assert_eq!(answer.text(), EXPORT);
        for again in ["GET", "POST"] {
            let answer = edge.send(again, &path, &[], b"");
            assert_problem(&answer, 410, "ticket_redeemed");
            let at = answer.json()["redeemedAt"].as_str().unwrap().to_owned();
            assert!(at.ends_with('Z') && at.parse::<Timestamp>().is_ok(), "{at}");
        }
    }
    assert_eq!(edge.count(r#"claviger_ticket_redemptions_total{outcome="redeemed"}"#), 2);
    assert_eq!(edge.count(r#"claviger_ticket_redemptions_total{outcome="already_redeemed"}"#), 4);
    assert_eq!(edge.count("claviger_tickets_outstanding"), 0);
}

#[test]
fn the_query_chooses_the_format_and_accept_does_otherwise() {
    let edge = Edge::usual();
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
        let answer = edge.send("GET", &format!("{}{query}", edge.usual_path()), headers, b"");
        assert_whole(&answer);
        assert!(answer.header("content-type").unwrap().starts_with(media_type), "{query} {accept}: {answer:?}");
        if media_type == "application/json" {
            assert_eq!(answer.json(), json);
        } else {
            assert!(answer.text().ends_with("# claviger: 2 keys\n"), "{answer:?}");
        }
    }
}

#[test]
fn what_is_not_understood_consumes_nothing() {
    let edge = Edge::usual();
    let path = edge.usual_path();
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
        assert_problem(&edge.download(&format!("{path}?{query}")), 400, "invalid_request");
    }
    for query in ["format=raw", "format=raw&key=", "format=raw&key=TOKEN&key=TOKEN", "format=tar&key=TOKEN"] {
        assert_problem(&edge.download(&format!("{path}?{query}")), 400, "invalid_request");
    }
    assert_problem(&edge.download(&format!("{path}?format=raw&key=NOBODY")), 404, "secret_not_found");
    for keys in [&[("Idempotency-Key", "a b")][..], &[("Idempotency-Key", "a"), ("Idempotency-Key", "a")]] {
        assert_problem(&edge.send("GET", &path, keys, b""), 400, "invalid_request");
    }
    assert_eq!(edge.download(&path).text(), EXPORT);
}

#[test]
fn other_methods_and_prefetching_consume_nothing() {
    let edge = Edge::usual();
    let path = edge.usual_path();
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "QUERY", "get"] {
        let answer = edge.send(method, &path, &[], b"");
        assert_problem(&answer, 405, "method_not_allowed");
        assert_eq!(answer.header("allow").as_deref(), Some("GET, POST"), "{method}");
    }
    let head = exchange(edge.api, format!("HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 405 ") && head.contains("\r\nallow: get, post\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let answer = edge.send("OPTIONS", &path, &[], b"");
    assert_eq!((answer.status, answer.header("allow").as_deref(), answer.body.len()), (204, Some("GET, POST"), 0));
    for (name, value) in [
        ("Sec-Purpose", "prefetch"),
        ("Sec-Purpose", "prefetch;prerender"),
        ("Purpose", "prefetch"),
        ("X-Moz", "prefetch"),
        ("X-Purpose", "preview"),
    ] {
        let answer = edge.send("GET", &path, &[(name, value)], b"");
        if name == "X-Purpose" {
            assert_whole(&answer);
        } else {
            assert_problem(&answer, 403, "prefetch_refused");
        }
    }
    assert_problem(&edge.download(&path), 410, "ticket_redeemed");
}

#[test]
fn ranges_conditions_and_codings_change_nothing() {
    let edge = Edge::start(
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
        let answer = edge.send("GET", &edge.usual_path(), headers, b"");
        assert_whole(&answer);
        assert_eq!(answer.body.len(), "export BIG=''\n# claviger: 1 keys\n".len() + 100_000, "{headers:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[test]
fn what_a_format_cannot_carry_is_named_and_not_consumed() {
    for (bundle, format, key) in [
        (json!({"A B": "x"}), "export", "A B"),
        (json!({"OK": "x", "nul": "a\u{0}b"}), "export", "nul"),
        (json!({"LD_PRELOAD": "/evil.so"}), "export", "LD_PRELOAD"),
        (json!({"LD_PRELOAD": "/evil.so"}), "dotenv", "LD_PRELOAD"),
        (json!({"1A": "x"}), "dotenv", "1A"),
    ] {
        let secrets = json!({"homelab/site/main": bundle});
        let edge = Edge::start(&secrets, &[("p", allow(&["homelab/{repo}/{branch}"], &json!({})))], &json!({}), &[]);
        let path = edge.usual_path();
        for _ in 0..2 {
            let answer = edge.download(&format!("{path}?format={format}"));
            assert_problem(&answer, 422, "unrenderable");
            assert!(answer.json()["detail"].as_str().unwrap().contains(&format!("{key:?}")), "{answer:?}");
            assert!(!answer.text().contains("evil"), "no value is told");
        }
        let answer = edge.download(&format!("{path}?format=json"));
        assert_whole(&answer);
        assert_eq!(answer.json(), bundle);
        assert_problem(&edge.download(&path), 410, "ticket_redeemed");
    }
}

#[test]
fn the_versions_digest_moves_with_the_secret_alone() {
    let edge = Edge::start(
        &json!({"homelab/a": {"K": "1"}, "homelab/b": {"K": "1"}}),
        &[("p", allow(&["homelab/{repo}"], &json!({})))],
        &json!({}),
        &[],
    );
    let versions = |repo: &str, query: &str| {
        let path = edge.path(&format!("repo={repo}&branch=main"));
        edge.download(&format!("{path}{query}")).header("x-claviger-versions").unwrap()
    };
    let first = versions("a", "");
    assert_eq!(versions("a", "?format=json"), first, "the format is no matter");
    assert_ne!(versions("b", ""), first);
    let file = edge.folder.path().join("secrets.yaml");
    std::fs::write(&file, json!({"homelab/a": {"K": "2"}, "homelab/b": {"K": "1"}}).to_string()).unwrap();
    edge.signal("HUP");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while versions("a", "") == first {
        assert!(std::time::Instant::now() < deadline, "the rotation does not show");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let second = versions("a", "");
    std::fs::write(&file, json!({"homelab/a": {"K": "1"}}).to_string()).unwrap();
    edge.signal("HUP");
    while versions("a", "") == second {
        assert!(std::time::Instant::now() < deadline, "the rotation back does not show");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(versions("a", ""), first, "the same values, the same digest");
    // The digest uses a key: it cannot be computed from the value.
    for guess in ["1", "K=1", "{\"K\":\"1\"}"] {
        let plain = hex(digest(&SHA256, guess.as_bytes()).as_ref());
        assert!(!plain.starts_with(&first));
    }
}

#[test]
fn a_download_says_nothing_but_the_bundle() {
    let edge = Edge::usual();
    let path = edge.usual_path();
    let answer = edge.send("GET", &path, &[("X-Request-Id", "mine-1")], b"");
    assert_ne!(answer.header("x-request-id").as_deref(), Some("mine-1"), "the id is ours");
    let event: Value = edge.audit_events().into_iter().find(|event| event["type"] == "ticket.redeemed").unwrap();
    assert_eq!(event["clientRequestId"], "mine-1");
    assert_eq!(event["requestId"].as_str(), answer.header("x-request-id").as_deref());
    let token = path.rsplit('/').next().unwrap();
    let (id, key) = token.split_once('.').unwrap();
    let told = format!("{:?}{}{}", answer.headers, edge.log(), edge.stdout());
    assert!(!told.contains(id) && !told.contains(key), "the URL is told again: {told}");
}
