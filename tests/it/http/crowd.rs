//! Many connections: an address that opens as many as it can, and a process that runs out of descriptors.

use crate::rig::claviger::{Claviger, binary, wait_until};
use crate::rig::http::{listen, request};
use crate::rig::oidc::{Edge, allow};
use serde_json::json;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

const CROWD: &str = "127.0.0.2";
const REFUSED: &str = "connection limit reached";
const STARVED: &str = "accept failed";

/// Silent connections from one address.
fn crowd(to: SocketAddr, count: usize) -> Vec<TcpStream> {
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

/// Room for 160 connections; from 120 on it is tight, and an address may then have 100.
fn small_room(server: &serde_json::Value) -> Edge {
    let config = json!({"limits": {"maxConnections": 160, "headerTimeout": "1m"}, "server": server});
    Edge::start(&json!({}), &[("p", allow(&["homelab/x"], &json!({})))], &config, &[])
}

#[test]
fn an_address_cannot_take_the_last_quarter_of_all_connections() {
    let edge = small_room(&json!({}));
    let mut held = crowd(edge.api, 150);
    // The last ones are closed at once; the others stay open.
    assert!(held[140..].iter_mut().all(|stream| listen(stream, Duration::from_secs(5)).closed));
    assert!(held[..120].iter_mut().all(|stream| !listen(stream, Duration::from_millis(1)).closed));
    assert_eq!(edge.logged(REFUSED), 1, "it is told once");
    let line = edge.log();
    assert!(line.contains(CROWD), "it is told who: {line}");
    for _ in 0..5 {
        assert_eq!(edge.asks("repo=x&branch=main").status, 201, "another address is served");
    }
}

#[test]
fn a_trusted_proxy_may_have_all_connections() {
    let edge = small_room(&json!({"trustedProxies": [format!("{CROWD}/32")]}));
    let mut held = crowd(edge.api, 150);
    assert!(held.iter_mut().all(|stream| !listen(stream, Duration::from_millis(1)).closed));
    assert_eq!(edge.logged(REFUSED), 0);
    assert_eq!(edge.asks("repo=x&branch=main").status, 201);
}

/// `claviger dev` with so few descriptors that its connections use them all.
fn poor() -> Claviger {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 36; exec \"$0\" \"$@\""]).arg(binary());
    command.args(["dev", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--state"]).arg(folder.path());
    command.env("CLAVIGER__LIMITS__HEADERTIMEOUT", "1m");
    Claviger::by(folder, command)
}

/// The processor time it has used, in ticks of 10 ms.
fn ticks(claviger: &Claviger) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", claviger.id())).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[test]
fn who_runs_out_of_descriptors_waits_for_some_and_says_so_seldom() {
    let mut poor = poor();
    poor.wait_for_line("file descriptor limit is too low");
    let path = poor.ticket("moreira.dev", "main");
    let held = crowd(poor.api, 100);
    poor.wait_for_line(STARVED);
    let mut late = TcpStream::connect(poor.api).unwrap();
    late.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let before = ticks(&poor);
    let early = listen(&mut late, Duration::from_secs(2));
    assert!(early.bytes.is_empty() && !early.closed, "there was a descriptor left");
    let spent = ticks(&poor) - before;
    assert!(spent < 50, "{spent} ticks of 200 were spent on waiting");
    assert_eq!(poor.logged(STARVED), 1, "{}", poor.log());

    drop(held);
    let served = listen(&mut late, Duration::from_secs(10));
    assert!(served.bytes.starts_with(b"HTTP/1.1 200 "), "who waited is served: {served:?}");
    wait_until("the end of it to be told", || poor.logged("accepting connections again") == 1);
    let path = poor.ticket("moreira.dev", "main");
    assert_eq!(poor.download(&path).status, 200);
    assert_eq!(request(poor.ops, "GET", "/readyz", &[], b"").status, 200);
}
