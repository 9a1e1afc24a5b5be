//! Many connections, error bodies piped into a shell, and the ops listener.

use super::assert_problem;
use crate::rig::claviger::download_path;
use crate::rig::http::{read_until_closed, request, send_and_read};
use crate::rig::oidc::{TestServer, allow};
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

#[test]
fn no_more_connections_than_allowed_are_served_at_once() {
    let server = TestServer::start(
        &json!({}),
        &[("p", allow(&["homelab/x"], &json!({})))],
        &json!({}),
        &[("CLAVIGER__LIMITS__MAXCONNECTIONS", "4"), ("CLAVIGER__LIMITS__HEADERTIMEOUT", "2s")],
    );
    let mut held: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(server.api).unwrap()).collect();
    for stream in &mut held {
        stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    }
    let mut late = TcpStream::connect(server.api).unwrap();
    late.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let early = read_until_closed(&mut late, Duration::from_millis(500));
    assert!(early.bytes.is_empty() && !early.closed, "a fifth connection is served beside four");
    // The ops listener has its own connection limit, so probes succeed.
    assert_eq!(request(server.ops, "GET", "/readyz", &[], b"").status, 200);
    drop(held.pop());
    let served = read_until_closed(&mut late, Duration::from_secs(5));
    assert!(served.bytes.starts_with(b"HTTP/1.1 404 "), "a free connection is used");
    drop(held);
    assert_eq!(server.asks("repo=x&branch=main").status, 201);
}

#[test]
fn an_error_is_inert_when_a_shell_sources_it() {
    let hostile = [
        "$(touch PWN)",
        "`touch PWN`",
        "a\";touch PWN;\"",
        "a';touch PWN;'",
        "a\\",
        "\n touch PWN\n",
        "{a,b}",
        "a&touch PWN&",
        "|touch PWN",
        "é$(touch PWN)",
    ];
    let mut bodies = Vec::new();
    for name in hostile {
        let server = TestServer::start(
            &json!({"homelab/site/main": {name: "x"}}),
            &[("p", allow(&["homelab/{repo}/{branch}"], &json!({})))],
            &json!({}),
            &[],
        );
        let issued = server.asks("repo=site&branch=main");
        let path = download_path(&issued);
        let answer = server.download(&path);
        assert_problem(&answer, 422, "unrenderable");
        assert!(
            answer.json()["detail"].as_str().unwrap().contains(&format!("{name:?}")),
            "the answer contains the key: {answer:?}"
        );
        // The answer to the issue request, sourced by mistake.
        bodies.push(issued.text());
        bodies.push(answer.text());
        for (repo, branch) in [(name, "main"), ("site", name), ("other", "main")] {
            bodies.push(server.asks_json(&json!({"repo": repo, "branch": branch}).to_string()).text());
        }
        bodies.push(server.asks_json(name).text());
        bodies.push(server.download(&format!("{path}?format=$(touch%20PWN)")).text());
        bodies.push(server.download(&format!("{path}?format=json")).status.to_string());
        bodies.push(server.download(&path).text());
    }
    let folder = tempfile::tempdir().unwrap();
    for shell in ["dash", "bash", "busybox"] {
        let mut script = String::new();
        for (number, body) in bodies.iter().enumerate() {
            std::fs::write(folder.path().join(format!("body{number}")), body).unwrap();
            writeln!(script, "(. ./body{number}) 2>/dev/null").unwrap();
        }
        std::fs::write(folder.path().join("control"), "x=\"$(touch CONTROL)\"").unwrap();
        script.push_str("(. ./control)\n");
        let mut command = Command::new(shell);
        if shell == "busybox" {
            command.arg("sh");
        }
        command.args(["-c", &script]).current_dir(folder.path()).output().unwrap();
        assert!(folder.path().join("CONTROL").exists(), "{shell} sources nothing");
        std::fs::remove_file(folder.path().join("CONTROL")).unwrap();
        let expected = bodies.len() + 1;
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), expected, "{shell} has executed a body");
    }
}

#[test]
fn the_ops_listener_serves_metrics_and_no_secrets() {
    let server = TestServer::with_one_secret();
    let ops = |method, path| request(server.ops, method, path, &[], b"");
    for path in ["/livez", "/readyz"] {
        let answer = ops("GET", path);
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
    }
    let metrics = ops("GET", "/metrics");
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    for path in ["/", "/metrics/", "/v1/tickets", "/v1/downloads/x", "/debug", "/health"] {
        assert_problem(&ops("GET", path), 404, "not_found");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let answer = ops(method, "/metrics");
        assert_problem(&answer, 405, "method_not_allowed");
        assert_eq!(answer.header("allow").as_deref(), Some("GET"));
    }
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(ops("GET", path).header("x-request-id").unwrap().len(), 32);
        assert_problem(&request(server.api, "GET", path, &[], b""), 404, "not_found");
    }
    for odd in [
        "GET /metrics HTTP/1.0\r\nHost: a\r\n\r\n",
        "GET /metrics HTTP/1.1\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let ended = send_and_read(server.ops, odd.as_bytes(), Duration::from_secs(4));
        assert!(ended.closed && !ended.bytes.starts_with(b"HTTP/1.1 2"), "{odd}");
    }
    let path = server.new_download_path();
    let (id, key) = path.rsplit('/').next().unwrap().split_once('.').unwrap();
    let text = ops("GET", "/metrics").text();
    for secret in ["s3cret", id, key, "build-1", "homelab", "TOKEN"] {
        assert!(!text.contains(secret), "{secret} is on /metrics");
    }
}

#[test]
fn while_draining_tickets_are_redeemed_and_none_issued() {
    let mut server = TestServer::with_one_secret();
    let path = server.new_download_path();
    server.signal("TERM");
    server.wait_for_line("draining");
    assert_problem(&server.asks("repo=site&branch=main"), 503, "draining");
    assert_eq!(request(server.ops, "GET", "/readyz", &[], b"").status, 503);
    assert_eq!(request(server.ops, "GET", "/livez", &[], b"").status, 200);
    assert_eq!(server.download(&path).status, 200);
    assert!(server.wait(Duration::from_secs(10)).success());
}
