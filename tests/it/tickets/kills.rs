//! `kill -9` of replicas and of PostgreSQL under load, and rolling restarts: nothing is released twice, every
//! release is recorded, and a rolling restart loses no ticket.
//!
//! `CLAVIGER_KILLS`, `CLAVIGER_DATABASE_KILLS` and `CLAVIGER_ROLLS` set the counts (`make kills`).

use super::under_load::{REPLICAS, StopOnDrop, start, under_load, wait_for_cycles};
use super::*;
use crate::rig::postgres::Postgres;
use crate::rig::replicas::{Replicas, new_database};
use crate::rig::scale::scale;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn replicas_that_are_killed_release_nothing_twice_and_nothing_unrecorded() {
    let kills = scale("CLAVIGER_KILLS", 3);
    let replicas = start(&new_database(postgres()));
    let (attempts, events) = under_load(&replicas, |history| {
        for kill in 0..kills {
            wait_for_cycles(history, 10);
            replicas.kill_and_replace(kill);
        }
        wait_for_cycles(history, 10);
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
            wait_for_cycles(history, 20);
            server.kill();
            server.start_again();
        }
        wait_for_cycles(history, 20);
    });
    println!(
        "{kills} kills of the database: {} attempts, {} events, 0 double, 0 unrecorded",
        attempts.len(),
        events.len()
    );
}

/// Runs curl at the address that a Service would choose. If no server listens there any more, nothing was sent,
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

/// Runs builds one after the other until stopped. Returns their number.
fn run_builds(replicas: &Replicas, stop: &AtomicBool, number: usize) -> usize {
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
            "a ticket was lost"
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
        let builders: Vec<_> = (0..4).map(|number| scope.spawn(move || run_builds(replicas, stop, number))).collect();
        let load = StopOnDrop(stop);
        for roll in 0..rolls {
            replicas.rolling_restart(roll);
            for (path, _) in &waiting[3 * roll..3 * roll + 3] {
                let answer = replicas.get(roll).download(path);
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        }
        drop(load);
        builders.into_iter().map(|builder| builder.join().unwrap()).sum()
    });
    assert!(built >= rolls, "the load made no request");
    let events = replicas.events();
    let redeemed = events.iter().filter(|event| event["type"] == "ticket.redeemed").count();
    assert_eq!(redeemed, waiting.len() + built);
    println!("{rolls} rolling restarts under {built} builds with curl: {} tickets that waited, 0 lost", waiting.len());
}
