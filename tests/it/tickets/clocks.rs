//! Replicas with different clocks: the database's clock decides, and a replica with a large offset issues nothing.

use crate::rig::claviger::{Claviger, binary, download_path, wait_until, write_policies};
use crate::rig::oidc::allow;
use crate::rig::postgres::postgres;
use crate::rig::replicas::{Replicas, new_database};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Sets a process's wall clock ahead, as on a machine without time synchronisation. Monotonic clocks are
/// unchanged.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *time) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, time);
    const char *ahead = getenv("TEST_SECONDS_AHEAD");
    if (result == 0 && id == CLOCK_REALTIME && ahead) time->tv_sec += atol(ahead);
    return result;
}
"#;

fn policies() -> [(&'static str, Value); 1] {
    [("site", allow(&["homelab/{repo}/{branch}"], &json!({"ticket": {"bindTo": "none"}})))]
}

fn secrets() -> Value {
    json!({"homelab/site/main": {"K": "v"}})
}

/// Starts another replica whose clock is this many seconds ahead.
fn start_ahead(replicas: &Replicas, like: &Claviger, seconds: i64) -> Claviger {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["claviger.yaml", "jwks.json", "secrets.yaml", "database.key"] {
        fs::copy(like.folder.path().join(name), at(name)).unwrap();
    }
    write_policies(&at("policies"), &policies());
    fs::write(at("clock.c"), CLOCK).unwrap();
    let library = at("clock.so");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(at("clock.c")).arg("-ldl").status();
    assert!(built.unwrap().success());
    let mut command = Command::new(binary());
    command.args(["serve", "--config"]).arg(at("claviger.yaml"));
    command.env("LD_PRELOAD", library).env("TEST_SECONDS_AHEAD", seconds.to_string());
    let claviger = Claviger::spawn_command(folder, command);
    assert!(Path::new(&binary()).exists() && replicas.get(0).id() != claviger.id());
    claviger
}

fn count_expired(replicas: &Replicas) -> usize {
    replicas.events().iter().filter(|event| event["type"] == "ticket.expired").count()
}

const OFFSET: &str = "claviger_database_clock_offset_seconds";

#[test]
fn a_replica_with_a_large_clock_offset_expires_no_ticket_and_issues_none() {
    let replicas = Replicas::start(1, &new_database(postgres()), &secrets(), &policies(), &json!({}));
    for seconds in [130, -130] {
        let (path, _) = replicas.ticket(0);
        let (other, _) = replicas.ticket(0);
        let wrong = start_ahead(&replicas, &replicas.get(0), seconds);
        assert!(!wrong.is_ready());
        let offset = wrong.metric(OFFSET);
        assert!((offset - f64::from(i32::try_from(seconds).unwrap())).abs() < 1.0, "{offset}");
        let refused = wrong.ask(&replicas.token(), "repo=site&branch=main");
        assert_eq!((refused.status, refused.code()), (503, "clocks_differ".into()));
        assert!(refused.header("retry-after").is_some());
        // It looks for overdue tickets once a second.
        std::thread::sleep(Duration::from_secs(4));
        assert_eq!(count_expired(&replicas), 0);
        assert_eq!(replicas.get(0).download(&path).status, 200);
        assert_eq!(wrong.download(&other).status, 200, "this replica still redeems");
    }
    assert!(replicas.get(0).metric(OFFSET).abs() < 0.5);
    assert!(replicas.get(0).is_ready());
}

#[test]
fn a_replica_with_a_small_clock_offset_uses_the_time_of_the_database() {
    let replicas = Replicas::start(1, &new_database(postgres()), &secrets(), &policies(), &json!({}));
    let fast = start_ahead(&replicas, &replicas.get(0), 3);
    assert!(fast.is_ready());
    // By its own clock, the ticket would have expired at once.
    let answer = fast.ask(&replicas.token(), "repo=site&branch=main&ttl=3s");
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(replicas.get(0).download(&download_path(&answer)).status, 200);
    let answer = replicas.get(0).ask(&replicas.token(), "repo=site&branch=main&ttl=3s");
    assert_eq!(fast.download(&download_path(&answer)).status, 200);
    let answer = replicas.get(0).ask(&replicas.token(), "repo=site&branch=main&ttl=1s");
    wait_until("it to expire", || fast.download(&download_path(&answer)).status == 410);
    let events = replicas.events();
    let times: Vec<Timestamp> = events.iter().map(|event| event["time"].as_str().unwrap().parse().unwrap()).collect();
    let is_near = |pair: &[Timestamp]| pair[1].duration_since(pair[0]) > SignedDuration::from_secs(-2);
    assert!(times.windows(2).all(is_near), "both write the database's time: {times:?}");
}
