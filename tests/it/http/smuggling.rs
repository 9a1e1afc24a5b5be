//! Ambiguous requests, which two servers could parse differently, are refused and the connection closed; none
//! hangs.

use crate::rig::http::{parse_all, send_and_read};
use crate::rig::oidc::TestServer;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(4);

#[test]
fn ambiguous_requests_are_refused_and_the_connection_closed() {
    let server = TestServer::with_one_secret();
    let path = server.new_download_path();
    let get = format!("GET {path} HTTP/1.1\r\n");
    let good = format!("{get}Host: a\r\n\r\n");
    let many = "X-Y: x\r\n".repeat(100);
    let headers = |lines: &str| format!("{get}Host: a\r\n{lines}\r\n");
    let behind = |lines: &str, body: &str| format!("POST /v1/tickets HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}{good}");
    for (what, request) in [
        ("chunked", headers("Transfer-Encoding: chunked\r\n")),
        ("chunked and a length", behind("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")),
        ("a length and chunked", behind("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        ("chunked twice", behind("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        ("chunked, then identity", behind("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")),
        ("identity", headers("Transfer-Encoding: identity\r\n")),
        ("xchunked", headers("Transfer-Encoding: xchunked\r\n")),
        ("an empty coding", headers("Transfer-Encoding:\r\n")),
        ("chunked with a vertical tab", behind("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n")),
        ("chunked with a space before the colon", behind("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")),
        ("chunked behind a fold", behind("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n")),
        ("two lengths", headers("Content-Length: 0\r\nContent-Length: 5\r\n")),
        ("the same length twice", headers("Content-Length: 0\r\ncontent-length: 0\r\n")),
        ("the same length twice, with a body", behind("Content-Length: 3\r\nContent-Length: 3\r\n", "abc")),
        ("a list of lengths", headers("Content-Length: 0, 0\r\n")),
        ("a length with a sign", headers("Content-Length: +0\r\n")),
        ("a negative length", headers("Content-Length: -1\r\n")),
        ("a hexadecimal length", headers("Content-Length: 0x0\r\n")),
        ("an empty length", headers("Content-Length:\r\n")),
        ("a length beyond 64 bits", headers("Content-Length: 99999999999999999999\r\n")),
        ("a length with a space before the colon", headers("Content-Length : 0\r\n")),
        ("no Host", format!("{get}\r\n")),
        ("two Hosts", headers("Host: b\r\n")),
        ("the same Host twice", headers("Host: a\r\n")),
        ("absolute form", format!("GET http://a{path} HTTP/1.1\r\nHost: a\r\n\r\n")),
        ("absolute form, other host", format!("GET http://b{path} HTTP/1.1\r\nHost: a\r\n\r\n")),
        ("authority form", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("asterisk form", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("no leading slash", format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", &path[1..])),
        ("a fragment", format!("GET {path}#x HTTP/1.1\r\nHost: a\r\n\r\n")),
        ("HTTP/1.0", format!("GET {path} HTTP/1.0\r\nHost: a\r\n\r\n")),
        ("HTTP/1.0 kept alive", format!("GET {path} HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")),
        ("HTTP/1.2", format!("GET {path} HTTP/1.2\r\nHost: a\r\n\r\n")),
        ("HTTP/2.0", format!("GET {path} HTTP/2.0\r\nHost: a\r\n\r\n")),
        ("HTTP/3", format!("GET {path} HTTP/3\r\nHost: a\r\n\r\n")),
        ("HTTP/0.9", format!("GET {path}\r\n")),
        ("http/1.1", format!("GET {path} http/1.1\r\nHost: a\r\n\r\n")),
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".into()),
        ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03".into()),
        ("a folded header", headers("X: a\r\n b\r\n")),
        ("a bare LF after a header", format!("{get}Host: a\nX: y\r\n\r\n")),
        ("bare LFs", format!("GET {path} HTTP/1.1\nHost: a\n\n")),
        ("a bare LF at the end", format!("{get}Host: a\r\n\n")),
        ("a bare CR", headers("X: a\rContent-Length: 5\r\n")),
        ("a NUL in a header", headers("X: a\0b\r\n")),
        ("a NUL in a name", headers("X\0: a\r\n")),
        ("a NUL in the target", format!("GET {path}\0 HTTP/1.1\r\nHost: a\r\n\r\n")),
        ("a space in a name", headers("X Y: a\r\n")),
        ("no colon", headers("X\r\n")),
        ("no name", headers(": a\r\n")),
        ("a tab for a space", format!("GET\t{path}\tHTTP/1.1\r\nHost: a\r\n\r\n")),
        ("100 headers", headers(&many)),
        ("a head of 100 KiB", headers(&format!("X: {}\r\n", "x".repeat(100 << 10)))),
        ("a target of 100 KiB", format!("GET {path}?{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100 << 10))),
        ("a method of 40 KiB", format!("{} {path} HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(40 << 10))),
    ] {
        let ended = send_and_read(server.api, request.as_bytes(), PATIENCE);
        let said = String::from_utf8_lossy(&ended.bytes).into_owned();
        assert!(ended.closed, "{what}: still open after {:?}: {said}", ended.took);
        // A closed connection is fine; otherwise there must be exactly one error answer.
        let status = said.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..3));
        assert!(said.is_empty() || matches!(status, Some("4" | "5")), "{what}: {said}");
        assert_eq!(
            said.matches("HTTP/1.").count() - said.matches("Only HTTP/1.").count(),
            usize::from(!said.is_empty()),
            "{what}: {said}"
        );
    }
    assert_eq!(server.download(&path).status, 200, "no request consumed the ticket");
}

#[test]
fn each_fault_of_framing_has_its_status() {
    let server = TestServer::with_one_secret();
    let path = server.new_download_path();
    let status = |request: String| {
        let said = send_and_read(server.api, request.as_bytes(), PATIENCE).bytes;
        String::from_utf8_lossy(&said).get(9..12).unwrap_or_default().to_owned()
    };
    assert_eq!(status(format!("GET {path} HTTP/1.0\r\nHost: a\r\n\r\n")), "505");
    assert_eq!(status(format!("GET {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")), "411");
    assert_eq!(
        status(format!("GET {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n")),
        "400"
    );
    assert_eq!(status(format!("GET {path} HTTP/1.1\r\n\r\n")), "400");
    assert_eq!(status(format!("GET http://a{path} HTTP/1.1\r\nHost: a\r\n\r\n")), "400");
    assert_eq!(status(format!("GET {path} HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(100 << 10))), "431");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = TestServer::with_one_secret();
    let one = |target: &str, more: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    for piece in [100_000, 7, 1] {
        let path = server.new_download_path();
        // Both are valid: an empty line before a request, and a length of zero.
        let requests = [
            one(&path, ""),
            format!("\r\n{}", one(&path, "Content-Length: 0\r\n")),
            one("/nowhere", "X-Request-Id: a\r\n"),
            one(&path, "Connection: close\r\n"),
            one("/never-reached", ""),
        ];
        let said = send_in_pieces(&server, requests.concat().as_bytes(), piece);
        let statuses: Vec<u16> = parse_all(&said).iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 410, 404, 410], "in pieces of {piece}");
    }
}

fn send_in_pieces(server: &TestServer, bytes: &[u8], size: usize) -> Vec<u8> {
    use std::io::Write as _;
    let mut stream = std::net::TcpStream::connect(server.api).unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in bytes.chunks(size) {
        stream.write_all(piece).unwrap();
    }
    let ended = crate::rig::http::read_until_closed(&mut stream, PATIENCE);
    assert!(ended.closed);
    ended.bytes
}

#[test]
fn a_body_is_never_parsed_as_a_request() {
    let server = TestServer::with_one_secret();
    let (path, hidden) = (server.new_download_path(), server.new_download_path());
    let smuggled = format!("GET {hidden} HTTP/1.1\r\nHost: a\r\n\r\n");
    for (method, target) in [
        ("GET", path.as_str()),
        ("POST", "/v1/tickets"),
        ("GET", "/nowhere"),
        ("HEAD", path.as_str()),
        ("OPTIONS", "/v1/tickets"),
    ] {
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len());
        let said = send_and_read(
            server.api,
            (request + "GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes(),
            PATIENCE,
        );
        let said = String::from_utf8_lossy(&said.bytes).into_owned();
        assert!((1..=2).contains(&said.matches("HTTP/1.1 ").count()), "{method} {target}: {said}");
    }
    assert_eq!(server.download(&hidden).status, 200);
}
