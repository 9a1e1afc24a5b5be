//! Measures issued and redeemed tickets per second: `cargo run --release --example ticket-cycles --
//! memory|postgres [CONNECTIONS [SECONDS]]`.
//!
//! `memory` is one replica with SQLite; `postgres` is three replicas on one PostgreSQL, where each ticket is
//! redeemed at the replica after its issuer. Each connection has its own cached token, and the secret is cached.
#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement ends where it cannot go on")]

#[allow(dead_code, reason = "the tests use the rest of it")]
#[path = "../tests/it/rig/mod.rs"]
mod rig;

use rig::keep_alive::Client;
use rig::oidc::allow;
use rig::postgres::postgres;
use rig::replicas::{Replicas, new_database};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().unwrap_or_else(|| "memory".into());
    let connections: usize = arguments.next().map_or(64, |text| text.parse().unwrap());
    let seconds: u64 = arguments.next().map_or(10, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (count, url) = match place.as_str() {
        "memory" => (1, format!("sqlite://{}", folder.path().join("claviger.db").display())),
        "postgres" => (3, new_database(postgres())),
        _ => panic!("memory or postgres"),
    };
    let secrets = json!({"homelab/site/main": {"TOKEN": "s3cret"}});
    let policies = [("site", allow(&["homelab/{repo}/{branch}"], &json!({})))];
    let replicas = Replicas::start(count, &url, &secrets, &policies, &json!({}));
    let (cycles, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for number in 0..connections {
            let (replicas, cycles, stop) = (&replicas, &cycles, &stop);
            scope.spawn(move || cycle(replicas, number, cycles, stop));
        }
        // Warm-up before the measurement.
        std::thread::sleep(Duration::from_secs(2));
        let (before, started) = (cycles.load(Ordering::Relaxed), Instant::now());
        std::thread::sleep(Duration::from_secs(seconds));
        let (done, took) = (cycles.load(Ordering::Relaxed) - before, started.elapsed().as_secs_f64());
        stop.store(true, Ordering::Relaxed);
        println!(
            "{place}, {count} replicas, {connections} connections: {:.0} cycles a second",
            f64::from(u32::try_from(done).unwrap()) / took
        );
    });
}

fn cycle(replicas: &Replicas, number: usize, cycles: &AtomicUsize, stop: &AtomicBool) {
    let token = replicas.token();
    let body = "repo=site&branch=main";
    let ask = format!(
        "POST /v1/tickets HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let [mut issuer, mut redeemer] = [number, number + 1].map(|one| Client::new(replicas.get(one).api).unwrap());
    while !stop.load(Ordering::Relaxed) {
        let (status, body) = issuer.exchange(&ask).unwrap();
        assert_eq!(status, 201, "{body}");
        let issued: Value = serde_json::from_str(&body).unwrap();
        let path = issued["url"].as_str().unwrap().split_once("/v1/").unwrap().1;
        let (status, body) = redeemer.exchange(&format!("GET /v1/{path} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        assert_eq!(status, 200, "{body}");
        cycles.fetch_add(1, Ordering::Relaxed);
    }
}
