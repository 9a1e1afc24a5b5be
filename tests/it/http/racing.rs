//! At most once: racing redemptions, and clients that disconnect.

use crate::rig::oidc::{Edge, allow};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const RACERS: usize = 64;
const TICKETS: usize = 50;

/// One keep-alive connection that reads whole answers.
struct Client(TcpStream);

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    fn get(&mut self, path: &str) -> (u16, String) {
        self.0.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        let (mut text, mut buffer) = (String::new(), vec![0; 65536]);
        loop {
            let count = self.0.read(&mut buffer).unwrap();
            assert!(count > 0, "closed after {text:?}");
            text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let head = head.to_ascii_lowercase();
                let length: usize =
                    head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
                if body.len() >= length {
                    return (head[9..12].parse().unwrap(), body.to_owned());
                }
            }
        }
    }
}

#[test]
fn of_64_racing_redeemers_one_wins_for_each_of_50_tickets() {
    // Large enough that decryption and rendering leave time for a race.
    let secrets = json!({"homelab/site/main": {"BIG": "x".repeat(200_000)}});
    let edge = Edge::start(&secrets, &[("p", allow(&["homelab/{repo}/{branch}"], &json!({})))], &json!({}), &[]);
    let paths: Vec<String> = (0..TICKETS).map(|_| edge.usual_path()).collect();
    let wins: Vec<AtomicUsize> = (0..TICKETS).map(|_| AtomicUsize::new(0)).collect();
    let barrier = Barrier::new(RACERS);
    std::thread::scope(|scope| {
        for _ in 0..RACERS {
            scope.spawn(|| {
                let mut client = Client::new(edge.api);
                for (path, wins) in paths.iter().zip(&wins) {
                    barrier.wait();
                    match client.get(path) {
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
    assert_eq!(redeemed(&edge), TICKETS);
    let lost = (RACERS - 1) * TICKETS;
    assert_eq!(edge.count(r#"claviger_ticket_redemptions_total{outcome="already_redeemed"}"#), lost as u64);
}

fn redeemed(edge: &Edge) -> usize {
    edge.audit_events().iter().filter(|event| event["type"] == "ticket.redeemed").count()
}

#[test]
fn who_hangs_up_right_after_asking_has_had_it() {
    let edge = Edge::usual();
    for round in 0..20 {
        let path = edge.usual_path();
        let mut stream = TcpStream::connect(edge.api).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        drop(stream);
        // The server may not have read the request at all; then the next request gets the bundle.
        let deadline = Instant::now() + Duration::from_secs(5);
        let waiting = || edge.count("claviger_tickets_outstanding") > 0;
        while waiting() && Instant::now() < deadline && round % 4 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        let second = edge.download(&path);
        let before = redeemed(&edge);
        assert_eq!(before, round + 1, "one event for each ticket, whoever got it: {second:?}");
        assert!(matches!(second.status, 200 | 410), "{second:?}");
        assert_eq!(edge.download(&path).status, 410);
    }
}

#[test]
fn who_hangs_up_in_the_middle_has_had_it() {
    let secrets = json!({"homelab/site/main": {"BIG": "x".repeat(3 << 20)}});
    let edge = Edge::start(&secrets, &[("p", allow(&["homelab/{repo}/{branch}"], &json!({})))], &json!({}), &[]);
    for round in 1..=3 {
        let path = edge.usual_path();
        let mut stream = TcpStream::connect(edge.api).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        let mut start = [0; 4096];
        stream.read_exact(&mut start).unwrap();
        assert!(start.starts_with(b"HTTP/1.1 200 "));
        assert_eq!(redeemed(&edge), round, "the event is there before the first byte");
        drop(stream);
        assert_eq!(edge.download(&path).status, 410);
    }
    // The next one is complete.
    assert_eq!(edge.download(&edge.usual_path()).body.len(), (3 << 20) + "export BIG=''\n# claviger: 1 keys\n".len());
}
