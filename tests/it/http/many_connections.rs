//! Many connections: an address at its connection limit, and a process without free file descriptors.

use crate::rig::claviger::{Claviger, binary, wait_until};
use crate::rig::http::{read_until_closed, request};
use crate::rig::oidc::{TestServer, allow};
use serde_json::json;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

const CROWD: &str = "127.0.0.2";
const REFUSED: &str = "connection limit reached";
const STARVED: &str = "accept failed";

/// Opens connections from one address that send nothing.
fn open_connections(to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connect = async || {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(CROWD.parse().unwrap(), 0)).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    };
    let mut streams: Vec<TcpStream> = (0..count).map(|_| runtime.block_on(connect())).collect();
    for stream in &mut streams {
        stream.set_nonblocking(false).unwrap();
    }
    streams
}

/// A server with a limit of 160 connections; above 120, an address may have 100.
fn few_connections(server_section: &serde_json::Value) -> TestServer {
    let config = json!({"limits": {"maxConnections": 160, "headerTimeout": "1m"}, "server": server_section});
    TestServer::start(&json!({}), &[("p", allow(&["homelab/x"], &json!({})))], &config, &[])
}

#[test]
fn an_address_cannot_take_the_last_quarter_of_all_connections() {
    let server = few_connections(&json!({}));
    let mut held = open_connections(server.api, 150);
    // The last ones are closed at once; the others stay open.
    assert!(held[140..].iter_mut().all(|stream| read_until_closed(stream, Duration::from_secs(5)).closed));
    assert!(held[..120].iter_mut().all(|stream| !read_until_closed(stream, Duration::from_millis(1)).closed));
    assert_eq!(server.count_logged(REFUSED), 1, "it is logged once");
    let line = server.log();
    assert!(line.contains(CROWD), "the log line has the address: {line}");
    for _ in 0..5 {
        assert_eq!(server.asks("repo=x&branch=main").status, 201, "another address is served");
    }
}

#[test]
fn a_trusted_proxy_may_have_all_connections() {
    let server = few_connections(&json!({"trustedProxies": [format!("{CROWD}/32")]}));
    let mut held = open_connections(server.api, 150);
    assert!(held.iter_mut().all(|stream| !read_until_closed(stream, Duration::from_millis(1)).closed));
    assert_eq!(server.count_logged(REFUSED), 0);
    assert_eq!(server.asks("repo=x&branch=main").status, 201);
}

/// `claviger dev` with so few file descriptors that its connections exhaust them.
fn few_descriptors() -> Claviger {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 36; exec \"$0\" \"$@\""]).arg(binary());
    command.args(["dev", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--state"]).arg(folder.path());
    command.env("CLAVIGER__LIMITS__HEADERTIMEOUT", "1m");
    Claviger::spawn_command(folder, command)
}

/// The processor time it has used, in ticks of 10 ms.
fn ticks(claviger: &Claviger) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", claviger.id())).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[test]
fn a_process_without_descriptors_waits_and_logs_it_once() {
    let mut claviger = few_descriptors();
    claviger.wait_for_line("file descriptor limit is too low");
    let path = claviger.ticket("moreira.dev", "main");
    let held = open_connections(claviger.api, 100);
    claviger.wait_for_line(STARVED);
    let mut late = TcpStream::connect(claviger.api).unwrap();
    late.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let before = ticks(&claviger);
    let early = read_until_closed(&mut late, Duration::from_secs(2));
    assert!(early.bytes.is_empty() && !early.closed, "there was a descriptor left");
    let spent = ticks(&claviger) - before;
    assert!(spent < 50, "{spent} ticks of 200 were spent on waiting");
    assert_eq!(claviger.count_logged(STARVED), 1, "{}", claviger.log());

    drop(held);
    let served = read_until_closed(&mut late, Duration::from_secs(10));
    assert!(served.bytes.starts_with(b"HTTP/1.1 200 "), "the waiting client is served: {served:?}");
    wait_until("the end to be logged", || claviger.count_logged("accepting connections again") == 1);
    let path = claviger.ticket("moreira.dev", "main");
    assert_eq!(claviger.download(&path).status, 200);
    assert_eq!(request(claviger.ops, "GET", "/readyz", &[], b"").status, 200);
}
