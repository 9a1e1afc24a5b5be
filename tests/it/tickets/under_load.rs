//! Load on several replicas during a disturbance, and the clients' history.

use super::history::{Attempt, HistoryFaults, check_history};
use crate::rig::claviger::binary;
use crate::rig::keep_alive::Client;
use crate::rig::oidc::allow;
use crate::rig::replicas::Replicas;
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: usize = 12;
pub const REPLICAS: usize = 3;
/// Leaves processor time for the recovery.
const BETWEEN_REFUSALS: Duration = Duration::from_millis(5);

/// The attempts of all clients.
#[derive(Default)]
pub struct History {
    attempts: Mutex<Vec<Attempt>>,
    cycles: AtomicUsize,
}

/// Replicas of the build under test.
pub fn start(url: &str) -> Replicas {
    let mut replicas = no_replicas(url);
    for _ in 0..REPLICAS {
        replicas.add(&binary());
    }
    replicas
}

/// The same without a replica.
pub fn no_replicas(url: &str) -> Replicas {
    let policy = allow(&["homelab/{repo}/{branch}"], &json!({}));
    Replicas::without_replicas(url, &json!({"homelab/site/main": {"TOKEN": "s3cret"}}), &[("site", policy)], &json!({}))
}

/// Issues and redeems on changing replicas until stopped, each ticket more than once. Failures are expected
/// here.
fn load(replicas: &Replicas, history: &History, stop: &AtomicBool, client: usize) {
    let token = replicas.token();
    let mut turn = client;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let Some(issued) = issue(replicas, turn, &token) else {
            std::thread::sleep(BETWEEN_REFUSALS);
            continue;
        };
        // Two at once on two replicas, and a late third one.
        let seen: Vec<Option<u16>> = std::thread::scope(|scope| {
            let racers = [1, 2].map(|other| {
                let path = &issued.path;
                scope.spawn(move || redeem(replicas, turn + other, path))
            });
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let late = redeem(replicas, turn, &issued.path);
        let mut attempts = history.attempts.lock().unwrap();
        for status in seen.into_iter().chain([late]) {
            attempts.push(Attempt { ticket: issued.id.clone(), status });
        }
        history.cycles.fetch_add(1, Ordering::Relaxed);
    }
}

/// A ticket that a client got.
pub struct Issued {
    pub id: String,
    pub path: String,
}

/// Requests a ticket from one replica; nothing if it issues none, or the connection ends without an answer.
pub fn issue(replicas: &Replicas, number: usize, token: &str) -> Option<Issued> {
    let body = "repo=site&branch=main";
    let ask = format!(
        "POST /v1/tickets HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let Some((201, body)) = send_once(replicas, number, &ask) else { return None };
    let issued: Value = serde_json::from_str(&body).unwrap();
    let (_, path) = issued["url"].as_str().unwrap().split_once("/v1/").unwrap();
    Some(Issued { id: issued["ticketId"].as_str().unwrap().to_owned(), path: format!("/v1/{path}") })
}

/// Redeems at one replica; nothing if the connection ends without an answer.
pub fn redeem(replicas: &Replicas, number: usize, path: &str) -> Option<u16> {
    let download = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    send_once(replicas, number, &download).map(|(status, _)| status)
}

/// One request to one replica; nothing if the connection ends without an answer.
fn send_once(replicas: &Replicas, number: usize, request: &str) -> Option<(u16, String)> {
    let address = replicas.get(number).api;
    Client::new(address).ok()?.exchange(request).ok()
}

/// Ends the load when dropped, also after a failure, because the threads of the load are joined.
pub struct StopOnDrop<'a>(pub &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs load while `disturb` works, and compares the results.
pub fn under_load(replicas: &Replicas, disturb: impl FnOnce(&History)) -> (Vec<Attempt>, Vec<Value>) {
    let attempts = attempts_under_load(replicas, CLIENTS, disturb);
    let events = replicas.events();
    assert_history(&attempts, &events);
    (attempts, events)
}

/// Runs load by so many clients while `disturb` works.
pub fn attempts_under_load(replicas: &Replicas, clients: usize, disturb: impl FnOnce(&History)) -> Vec<Attempt> {
    let (history, stop) = (History::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for client in 0..clients {
            let (history, stop) = (&history, &stop);
            scope.spawn(move || load(replicas, history, stop, client));
        }
        let _load = StopOnDrop(&stop);
        disturb(&history);
    });
    history.attempts.into_inner().unwrap()
}

/// Checks that nothing was released twice or without its event.
pub fn assert_history(attempts: &[Attempt], events: &[Value]) {
    assert_eq!(check_history(attempts, events), HistoryFaults::default());
    assert!(attempts.iter().any(|attempt| attempt.status == Some(200)), "the load made no request");
}

/// Waits until this many more cycles have ended, which shows that the load continues.
pub fn wait_for_cycles(history: &History, count: usize) {
    let (before, deadline) = (history.cycles.load(Ordering::Relaxed), Instant::now() + Duration::from_mins(1));
    while history.cycles.load(Ordering::Relaxed) < before + count {
        assert!(Instant::now() < deadline, "the load does not continue");
        std::thread::sleep(Duration::from_millis(5));
    }
}
