//! At most once: racing redemptions, and clients that disconnect.

use crate::rig::keep_alive::Client;
use crate::rig::oidc::{TestServer, allow};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const RACERS: usize = 64;
const TICKETS: usize = 50;

#[test]
fn one_of_64_concurrent_redemptions_succeeds_for_each_of_50_tickets() {
    // Large, so that decryption and rendering leave time for a race.
    let secrets = json!({"homelab/site/main": {"BIG": "x".repeat(200_000)}});
    let server =
        TestServer::start(&secrets, &[("p", allow(&["homelab/{repo}/{branch}"], &json!({})))], &json!({}), &[]);
    let paths: Vec<String> = (0..TICKETS).map(|_| server.new_download_path()).collect();
    let wins: Vec<AtomicUsize> = (0..TICKETS).map(|_| AtomicUsize::new(0)).collect();
    let barrier = Barrier::new(RACERS);
    std::thread::scope(|scope| {
        for _ in 0..RACERS {
            scope.spawn(|| {
                let mut client = Client::new(server.api).unwrap();
                for (path, wins) in paths.iter().zip(&wins) {
                    barrier.wait();
                    match client.exchange(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap() {
                        (200, body) => {
                            assert!(body.ends_with("# claviger: 1 keys\n"), "cut");
                            wins.fetch_add(1, Ordering::SeqCst);
                        }
                        (status, body) => assert!(status == 410 && body.contains("ticket_redeemed"), "{status} {body}"),
                    }
                }
            });
        }
    });
    let wins: Vec<usize> = wins.iter().map(|wins| wins.load(Ordering::SeqCst)).collect();
    assert_eq!(wins, [1; TICKETS]);
    assert_eq!(redeemed(&server), TICKETS);
    let lost = (RACERS - 1) * TICKETS;
    assert_eq!(server.count(r#"claviger_ticket_redemptions_total{outcome="already_redeemed"}"#), lost as u64);
}

fn redeemed(server: &TestServer) -> usize {
    server.audit_events().iter().filter(|event| event["type"] == "ticket.redeemed").count()
}

#[test]
fn a_client_that_disconnects_after_its_request_has_consumed_the_ticket() {
    let server = TestServer::with_one_secret();
    for round in 0..20 {
        let path = server.new_download_path();
        let mut stream = TcpStream::connect(server.api).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        drop(stream);
        // The server may not have read the request at all; then the next request gets the bundle.
        let deadline = Instant::now() + Duration::from_secs(5);
        let waiting = || server.count("claviger_tickets_outstanding") > 0;
        while waiting() && Instant::now() < deadline && round % 4 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        let second = server.download(&path);
        let before = redeemed(&server);
        assert_eq!(before, round + 1, "each ticket has one event: {second:?}");
        assert!(matches!(second.status, 200 | 410), "{second:?}");
        assert_eq!(server.download(&path).status, 410);
    }
}

#[test]
fn a_client_that_disconnects_during_the_answer_has_consumed_the_ticket() {
    let secrets = json!({"homelab/site/main": {"BIG": "x".repeat(3 << 20)}});
    let server =
        TestServer::start(&secrets, &[("p", allow(&["homelab/{repo}/{branch}"], &json!({})))], &json!({}), &[]);
    for round in 1..=3 {
        let path = server.new_download_path();
        let mut stream = TcpStream::connect(server.api).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        let mut start = [0; 4096];
        stream.read_exact(&mut start).unwrap();
        assert!(start.starts_with(b"HTTP/1.1 200 "));
        assert_eq!(redeemed(&server), round, "the event is written before the first byte");
        drop(stream);
        assert_eq!(server.download(&path).status, 410);
    }
    // An undisturbed download is complete.
    assert_eq!(
        server.download(&server.new_download_path()).body.len(),
        (3 << 20) + "export BIG=''\n# claviger: 1 keys\n".len()
    );
}
