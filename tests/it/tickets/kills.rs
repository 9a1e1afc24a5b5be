//! `kill -9` of replicas and of PostgreSQL under load, and rolling restarts: nothing is released twice, every
//! release is recorded, and a rolling restart loses no ticket.
//!
//! `CLAVIGER_KILLS`, `CLAVIGER_DATABASE_KILLS` and `CLAVIGER_ROLLS` set the counts (`make kills`).

use super::judge::{Attempt, Verdict, judge};
use super::*;
use crate::rig::keep_alive::Client;
use crate::rig::oidc::allow;
use crate::rig::postgres::Postgres;
use crate::rig::replicas::{Replicas, new_database};
use crate::rig::scale::scale;
use serde_json::{Value, json};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

const CLIENTS: usize = 12;
const REPLICAS: usize = 3;

/// What the clients of a run saw.
#[derive(Default)]
struct History {
    attempts: Mutex<Vec<Attempt>>,
    cycles: AtomicUsize,
}

fn start(url: &str) -> Replicas {
    Replicas::start(
        REPLICAS,
        url,
        &json!({"homelab/site/main": {"TOKEN": "s3cret"}}),
        &[("site", allow(&["homelab/{repo}/{branch}"], &json!({})))],
        &json!({}),
    )
}

/// Issues and redeems on changing replicas, each ticket more than once, until told to stop. Failures are expected
/// here.
fn load(replicas: &Replicas, history: &History, stop: &AtomicBool, client: usize) {
    let token = replicas.token();
    let mut turn = client;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let body = "repo=site&branch=main";
        let ask = format!(
            "POST /v1/tickets HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let Some((201, body)) = once(replicas, turn, &ask) else { continue };
        let issued: Value = serde_json::from_str(&body).unwrap();
        let ticket = issued["ticketId"].as_str().unwrap().to_owned();
        let path = issued["url"].as_str().unwrap().split_once("/v1/").unwrap().1;
        let download = format!("GET /v1/{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        // Two at once on two replicas, and a late third one.
        let seen: Vec<Option<u16>> = std::thread::scope(|scope| {
            let racers = [1, 2].map(|other| {
                scope.spawn({
                    let download = &download;
                    move || once(replicas, turn + other, download).map(|(status, _)| status)
                })
            });
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let late = once(replicas, turn, &download).map(|(status, _)| status);
        let mut attempts = history.attempts.lock().unwrap();
        for status in seen.into_iter().chain([late]) {
            attempts.push(Attempt { ticket: ticket.clone(), status });
        }
        history.cycles.fetch_add(1, Ordering::Relaxed);
    }
}

/// One request to one replica; nothing if the connection ends without an answer.
fn once(replicas: &Replicas, number: usize, request: &str) -> Option<(u16, String)> {
    let address = replicas.get(number).api;
    Client::new(address).ok()?.exchange(request).ok()
}

/// Ends the load when dropped, also after a failure, because the threads of the load are joined.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs load while `disturb` works, and compares the results.
fn under_load(replicas: &Replicas, disturb: impl FnOnce(&History)) -> (Vec<Attempt>, Vec<Value>) {
    let (history, stop) = (History::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (history, stop) = (&history, &stop);
            scope.spawn(move || load(replicas, history, stop, client));
        }
        let _load = Stopping(&stop);
        disturb(&history);
    });
    let attempts = history.attempts.into_inner().unwrap();
    let events = replicas.events();
    assert_eq!(judge(&attempts, &events), Verdict::default());
    assert!(attempts.iter().any(|attempt| attempt.status == Some(200)), "there was load");
    (attempts, events)
}

/// Waits until this many more cycles have ended, which shows that the load continues.
fn more_cycles(history: &History, count: usize) {
    let (before, deadline) = (history.cycles.load(Ordering::Relaxed), Instant::now() + Duration::from_mins(1));
    while history.cycles.load(Ordering::Relaxed) < before + count {
        assert!(Instant::now() < deadline, "the load stands still");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn replicas_that_are_killed_release_nothing_twice_and_nothing_unrecorded() {
    let kills = scale("CLAVIGER_KILLS", 3);
    let replicas = start(&new_database(postgres()));
    let (attempts, events) = under_load(&replicas, |history| {
        for kill in 0..kills {
            more_cycles(history, 10);
            replicas.kill_and_replace(kill);
        }
        more_cycles(history, 10);
    });
    println!(
        "{kills} kills of a replica: {} attempts, {} events, 0 double, 0 unrecorded",
        attempts.len(),
        events.len()
    );
}

#[test]
fn a_database_that_is_killed_releases_nothing_twice_and_nothing_unrecorded() {
    let kills = scale("CLAVIGER_DATABASE_KILLS", 1);
    let mut server = Postgres::start(&[]).unwrap();
    let url = new_database(&server);
    let replicas = start(&url);
    let (attempts, events) = under_load(&replicas, |history| {
        for _ in 0..kills {
            more_cycles(history, 20);
            server.kill();
            server.start_again();
        }
        more_cycles(history, 20);
    });
    println!(
        "{kills} kills of the database: {} attempts, {} events, 0 double, 0 unrecorded",
        attempts.len(),
        events.len()
    );
}

/// Plain curl at the address that a Service would choose now. If nobody listens there any more, nothing was sent,
/// and the next address is tried, like a new connection; any other error fails the build.
fn curl(replicas: &Replicas, turn: &mut usize, path: &str, arguments: &[&str]) -> (String, String) {
    const REFUSED: i32 = 7;
    for _ in 0..2 * REPLICAS {
        *turn += 1;
        let url = format!("http://{}{path}", replicas.get(*turn).api);
        let output = Command::new("curl").args(["-sS", "-w", "\n%{http_code}", &url]).args(arguments).output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let (body, status) = told.rsplit_once('\n').unwrap();
        match (output.status.code(), status) {
            // The replica drains: another one issues.
            (Some(REFUSED), _) | (_, "503") => {}
            (Some(0), status) => return (status.to_owned(), body.to_owned()),
            _ => return (String::from_utf8(output.stderr).unwrap(), String::new()),
        }
    }
    panic!("nobody issues");
}

/// Runs builds one after the other until told to stop; returns their number.
fn builds(replicas: &Replicas, stop: &AtomicBool, number: usize) -> usize {
    let (mut turn, mut built) = (number, 0);
    while !stop.load(Ordering::Relaxed) {
        let bearer = format!("Authorization: Bearer {}", replicas.token());
        let ask = ["-H", bearer.as_str(), "-H", "Accept: text/plain", "-d", "repo=site", "-d", "branch=main"];
        let (status, url) = curl(replicas, &mut turn, "/v1/tickets", &ask);
        assert_eq!(status, "201", "{url}");
        let path = &url[url.find("/v1/").unwrap()..];
        let (status, bundle) = curl(replicas, &mut turn, path.trim(), &[]);
        assert_eq!(
            (status.as_str(), bundle.lines().next()),
            ("200", Some("export TOKEN='s3cret'")),
            "a ticket is lost"
        );
        built += 1;
    }
    built
}

#[test]
fn rolling_restarts_lose_no_ticket() {
    let rolls = scale("CLAVIGER_ROLLS", 3);
    let replicas = start(&new_database(postgres()));
    // Issued before the restarts, redeemed afterwards on any replica.
    let waiting: Vec<(String, String)> = (0..3 * rolls).map(|number| replicas.ticket(number)).collect();
    let stop = AtomicBool::new(false);
    let built: usize = std::thread::scope(|scope| {
        let (replicas, stop) = (&replicas, &stop);
        let builders: Vec<_> = (0..4).map(|number| scope.spawn(move || builds(replicas, stop, number))).collect();
        let load = Stopping(stop);
        for roll in 0..rolls {
            replicas.roll(roll);
            for (path, _) in &waiting[3 * roll..3 * roll + 3] {
                let answer = replicas.get(roll).download(path);
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        }
        drop(load);
        builders.into_iter().map(|builder| builder.join().unwrap()).sum()
    });
    assert!(built >= rolls, "there was load");
    let events = replicas.events();
    let redeemed = events.iter().filter(|event| event["type"] == "ticket.redeemed").count();
    assert_eq!(redeemed, waiting.len() + built);
    println!("{rolls} rolling restarts under {built} builds with curl: {} tickets that waited, 0 lost", waiting.len());
}
