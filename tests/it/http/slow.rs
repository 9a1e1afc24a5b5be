//! Slow connections: seven shapes, each closed in time, while an honest client is served.

use super::assert_problem;
use crate::rig::http::{listen, parse};
use crate::rig::oidc::{Edge, allow};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread::{ScopedJoinHandle, scope, sleep};
use std::time::{Duration, Instant};

const HEADER_TIMEOUT: Duration = Duration::from_secs(1);
const REQUEST_TIMEOUT: Duration = Duration::from_millis(1500);
/// The machine may be busy with other tests.
const GRACE: Duration = Duration::from_secs(3);

fn impatient() -> Edge {
    Edge::start(
        &json!({"homelab/site/main": {"TOKEN": "s3cret"}, "homelab/site/big": {"BIG": "x".repeat(3 << 20)}}),
        &[("p", allow(&["homelab/{repo}/{branch}"], &json!({})))],
        &json!({}),
        &[("CLAVIGER__LIMITS__HEADERTIMEOUT", "1s"), ("CLAVIGER__LIMITS__REQUESTTIMEOUT", "1500ms")],
    )
}

/// A slow connection under way.
type Ended<'a> = ScopedJoinHandle<'a, (Duration, Vec<u8>)>;

/// Says `start`, then one of `drip` every 100 ms, until the server closes; how long that took, and what it said.
fn slowly(address: SocketAddr, start: &[u8], drip: &[u8]) -> (Duration, Vec<u8>) {
    let started = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(start).unwrap();
    let mut said = Vec::new();
    for step in 0..200 {
        let ended = listen(&mut stream, Duration::from_millis(100));
        said.extend(ended.bytes);
        if ended.closed || drip.get(step % drip.len().max(1)).is_some_and(|byte| stream.write_all(&[*byte]).is_err()) {
            return (started.elapsed(), said);
        }
    }
    panic!("still open after {:?}", started.elapsed());
}

#[test]
fn seven_slow_shapes_are_closed_in_time_and_honest_clients_are_served() {
    let edge = impatient();
    let bearer = edge.issuer.token(&json!({}));
    let post = format!(
        "POST /v1/tickets HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
    );
    let big = edge.path("repo=site&branch=big");
    scope(|scope| {
        let slow = |start: &str, drip: &'static [u8]| {
            let (address, start) = (edge.api, start.as_bytes().to_vec());
            scope.spawn(move || slowly(address, &start, drip))
        };
        let shapes: [(&str, Duration, Ended<'_>); 6] = [
            ("nothing sent", HEADER_TIMEOUT, slow("", b"")),
            ("half a request line", HEADER_TIMEOUT, slow("GET /v1/ti", b"")),
            ("headers trickled", HEADER_TIMEOUT, slow("GET / HTTP/1.1\r\nHost: a\r\n", b"X-A: b\r\n")),
            ("a header, then no body", REQUEST_TIMEOUT, slow(&post, b"")),
            ("a body trickled", REQUEST_TIMEOUT, slow(&post, b" ")),
            ("kept alive and idle", HEADER_TIMEOUT, slow("GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"")),
        ];
        let unread = scope.spawn(|| leave_unread(edge.api, &big));
        for _ in 0..10 {
            let started = Instant::now();
            assert_eq!(edge.download(&edge.usual_path()).status, 200);
            assert!(started.elapsed() < GRACE, "an honest client waited {:?}", started.elapsed());
            sleep(Duration::from_millis(50));
        }
        for (what, limit, shape) in shapes {
            let (took, said) = shape.join().unwrap();
            assert!(took < limit + GRACE, "{what}: open for {took:?}");
            match what {
                "a header, then no body" | "a body trickled" => assert_problem(&parse(&said), 408, "request_timeout"),
                "kept alive and idle" => assert_problem(&parse(&said), 404, "not_found"),
                _ => assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 4"), "{what}: {said:?}"),
            }
        }
        let took = unread.join().unwrap();
        assert!(took < REQUEST_TIMEOUT + GRACE, "an answer that nobody reads: open for {took:?}");
    });
    assert_eq!(edge.download(&big).status, 410);
}

/// Asks for more than the buffers hold, reads nothing of it, and looks until when the server has the connection.
fn leave_unread(address: SocketAddr, path: &str) -> Duration {
    let stream = small_window(address);
    let mut stream = stream;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    let local = stream.local_addr().unwrap();
    let started = Instant::now();
    while is_established(address, local) {
        assert!(started.elapsed() < Duration::from_secs(20), "the server keeps it");
        sleep(Duration::from_millis(50));
    }
    let took = started.elapsed();
    // What was in the buffers is all there is.
    let mut whole = Vec::new();
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let _ = stream.read_to_end(&mut whole);
    assert!(whole.len() < 3 << 20, "it was all sent: {} bytes", whole.len());
    took
}

/// A connection that takes little at a time.
fn small_window(address: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(address).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream
}

/// Whether the server's end of a connection is open, by the kernel's own table.
fn is_established(server: SocketAddr, client: SocketAddr) -> bool {
    let hex = |address: SocketAddr| format!("0100007F:{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| {
        let mut columns = line.split_whitespace().skip(1);
        columns.next() == Some(&hex(server)) && columns.next() == Some(&hex(client)) && columns.next() == Some("01")
    })
}

#[test]
fn a_patient_client_within_the_limits_is_served() {
    let edge = impatient();
    let bearer = edge.issuer.token(&json!({}));
    let body = "repo=site&branch=main";
    let head = format!(
        "POST /v1/tickets HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(edge.api).unwrap();
    for piece in [head.as_str(), "Connection: close\r\n\r\n", &body[..10], &body[10..]] {
        stream.write_all(piece.as_bytes()).unwrap();
        sleep(Duration::from_millis(150));
    }
    let ended = listen(&mut stream, Duration::from_secs(4));
    assert_eq!(parse(&ended.bytes).status, 201);
}
