//! Shared resources: a caller who uses its whole allowance does not degrade the service of others.
//!
//! Honest callers send a fixed load; the tests measure how much of it succeeds, not how fast. docs/THREATS.md has
//! the bounds.

mod audit;
mod database;
mod many_tokens;
mod sealed_bundles;

use crate::rig::claviger::{Claviger, download_path};
use crate::rig::oidc::{TestServer, TokenIssuer, allow};
use crate::rig::postgres::postgres;
use crate::rig::replicas::new_database;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The number of honest callers, and the number of tickets that each requests and redeems.
const CALLERS: usize = 6;
const ROUNDS: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);
/// Threads of the hostile caller.
const HOSTILE: usize = 4;
/// The limits of a real installation; other tests lift them.
const LIMITS: [(&str, &str); 2] =
    [("CLAVIGER__LIMITS__REQUESTSPERSECONDPERCALLER", "50"), ("CLAVIGER__LIMITS__FAILURESPERSECONDPERADDRESS", "20")];

fn secrets() -> Value {
    json!({"homelab/site/main": {"TOKEN": "s3cret"}, "homelab/large/main": {"BLOB": "x".repeat(900_000)}})
}

fn config() -> Value {
    let server = json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0", "trustedProxies": ["127.0.0.1/32"]});
    json!({"server": server, "tickets": {"maxLivePerPod": 64}})
}

fn policies() -> [(&'static str, Value); 1] {
    [("site", allow(&["homelab/{repo}/{branch}"], &json!({"repos": ["site", "large"]})))]
}

/// Keeps tickets in memory.
fn in_memory() -> TestServer {
    TestServer::start(&secrets(), &policies(), &config(), &LIMITS)
}

/// Keeps tickets in PostgreSQL.
fn in_postgres() -> (TestServer, String) {
    let url = new_database(postgres());
    let folder = tempfile::tempdir().unwrap();
    let key = folder.keep().join("database.key");
    std::fs::write(&key, STANDARD.encode([7; 32])).unwrap();
    let mut config = config();
    config["database"] = json!({"url": url, "keyFile": key});
    (TestServer::start(&secrets(), &policies(), &config, &LIMITS), url)
}

/// Sends a request with this client address, as reported by a proxy.
fn send_from(
    claviger: &Claviger,
    address: &str,
    method: &str,
    target: &str,
    token: Option<&str>,
    form: &str,
) -> crate::rig::http::Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("X-Forwarded-For", address), ("Content-Type", "application/x-www-form-urlencoded")];
    if let Some(bearer) = &bearer {
        headers.push(("Authorization", bearer));
    }
    claviger.send(method, target, &headers, form.as_bytes())
}

/// Sends the honest load, from separate addresses or a shared one. Returns the number of received bundles.
fn honest_load(claviger: &Claviger, issuer: &TokenIssuer, shared: Option<&str>) -> usize {
    std::thread::scope(|scope| {
        let callers = (0..CALLERS).map(|number| {
            let address = shared.map_or_else(|| format!("192.0.2.{}", number + 1), str::to_owned);
            scope.spawn(move || {
                let subject = format!("honest-{number}");
                let had = (0..ROUNDS).filter(|_| {
                    std::thread::sleep(PAUSE);
                    let token = issuer.token(&json!({"sub": subject}));
                    let form = "repo=site&branch=main";
                    let issued = send_from(claviger, &address, "POST", "/v1/tickets", Some(&token), form);
                    issued.status == 201
                        && send_from(claviger, &address, "GET", &download_path(&issued), None, "").status == 200
                });
                had.count()
            })
        });
        callers.collect::<Vec<_>>().into_iter().map(|caller| caller.join().unwrap()).sum()
    })
}

/// Runs the honest load alone and beside a hostile caller, and checks how many bundles were received each time.
/// Returns how many requests the hostile caller sent.
fn assert_fair(
    claviger: &Claviger,
    issuer: &TokenIssuer,
    shared: Option<&str>,
    hostile: impl Fn(usize) + Sync,
) -> usize {
    let alone = honest_load(claviger, issuer, shared);
    assert_eq!(alone, CALLERS * ROUNDS, "without a hostile caller every request succeeds");
    let done = AtomicBool::new(false);
    let (beside, came) = std::thread::scope(|scope| {
        let neighbours = (0..HOSTILE).map(|thread| {
            let (done, hostile) = (&done, &hostile);
            scope.spawn(move || {
                let mut came = 0;
                while !done.load(Ordering::Relaxed) {
                    hostile(came * HOSTILE + thread);
                    came += 1;
                }
                came
            })
        });
        let neighbours: Vec<_> = neighbours.collect();
        // The hostile caller is at its limit before the others start.
        std::thread::sleep(Duration::from_millis(500));
        let beside = honest_load(claviger, issuer, shared);
        done.store(true, Ordering::Relaxed);
        (beside, neighbours.into_iter().map(|neighbour| neighbour.join().unwrap()).sum())
    });
    assert!(beside * 100 >= alone * 95, "{beside} of {alone} beside a hostile caller with {came} requests");
    came
}
