//! Backup while serving, and restore: tickets redeemed before the backup stay redeemed, and `claviger restore` revokes those
//! that may have been redeemed after it.

use crate::rig::claviger::{binary, download_path};
use crate::rig::oidc::allow;
use crate::rig::postgres::backup::dump;
use crate::rig::postgres::{Postgres, postgres};
use crate::rig::replicas::{Replicas, new_database};
use claviger::model::clock::{Clock as _, SystemClock};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn start(url: &str) -> Replicas {
    let policy = allow(&["homelab/{repo}/{branch}"], &json!({}));
    Replicas::start(1, url, &json!({"homelab/site/main": {"TOKEN": "s3cret"}}), &[("site", policy)], &json!({}))
}

/// A ticket of a replica, by its path.
fn ticket(replicas: &Replicas) -> String {
    replicas.ticket(0).0
}

/// The status and the code of a download.
fn download(replicas: &Replicas, path: &str) -> (u16, String) {
    let answer = replicas.get(0).download(path);
    (answer.status, if answer.status == 200 { String::new() } else { answer.code() })
}

/// Runs `claviger restore` on a database. Returns the exit code and standard error.
fn restore(config: &Path, url: &str, after: &str) -> (Option<i32>, String) {
    let mut command = Command::new(binary());
    command.args(["restore", "--after", after, "--config"]).arg(config).env("CLAVIGER__DATABASE__URL", url);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Issues and redeems before, during and after `work`.
fn run_while_serving<T>(replicas: &Replicas, work: impl FnOnce() -> T) -> T {
    let (stop, cycles) = (AtomicBool::new(false), AtomicUsize::new(0));
    let more = || {
        let (before, deadline) = (cycles.load(Ordering::Relaxed), Instant::now() + Duration::from_secs(20));
        while cycles.load(Ordering::Relaxed) < before + 3 {
            assert!(Instant::now() < deadline, "no request is answered");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    std::thread::scope(|scope| {
        let builds = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(download(replicas, &ticket(replicas)).0, 200);
                cycles.fetch_add(1, Ordering::Relaxed);
            }
        });
        more();
        let done = work();
        more();
        stop.store(true, Ordering::Relaxed);
        builds.join().unwrap();
        done
    })
}

fn assert_log_verifies(replicas: &Replicas) {
    let verified = replicas.send_as_admin(0, "GET", "/v1/audit/verify").json();
    assert_eq!((&verified["ok"], &verified["firstBroken"]), (&json!(true), &json!(null)), "{verified}");
}

#[test]
fn after_a_restore_tickets_that_may_have_been_redeemed_are_revoked() {
    let server = Postgres::start(&[]).unwrap();
    let url = new_database(&server);
    let replicas = start(&url);
    let config = replicas.get(0).folder.path().join("claviger.yaml");
    let [redeemed, of_the_gap, unused] = [(); 3].map(|()| ticket(&replicas));
    assert_eq!(download(&replicas, &redeemed).0, 200);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    let (time, copy) = run_while_serving(&replicas, || {
        let time = SystemClock.now().to_string();
        dump(&url, &file);
        (time, server.backup())
    });
    assert_eq!(download(&replicas, &of_the_gap).0, 200, "redeemed after the backup");
    let later = ticket(&replicas);

    // Without the command: the restored database does not know of the redemption.
    let twin = start(&postgres().restore_dump(&file));
    assert_eq!(download(&twin, &redeemed), (410, "ticket_redeemed".into()));
    assert_eq!(download(&twin, &of_the_gap).0, 200, "redeemed a second time");

    for restored in [postgres().restore_dump(&file), copy.url_of(&url)] {
        let (code, stderr) = restore(&config, &restored, &time);
        assert_eq!(code, Some(0), "{stderr}");
        let (count, _) = stderr.split_once(' ').unwrap();
        // Builds during the backup may have left a waiting ticket in it.
        let count: usize = count.parse().unwrap();
        assert!((2..=3).contains(&count), "{stderr}");
        let (code, stderr) = restore(&config, &restored, &time);
        assert!(code == Some(0) && stderr.starts_with("0 tickets revoked"), "{stderr}");

        let restored = start(&restored);
        assert_eq!(download(&restored, &redeemed), (410, "ticket_redeemed".into()));
        assert_eq!(download(&restored, &of_the_gap), (410, "ticket_revoked".into()));
        assert_eq!(download(&restored, &unused), (410, "ticket_revoked".into()));
        assert_eq!(download(&restored, &later), (404, "ticket_unknown".into()));
        let issued = restored.get(0).ask(&restored.token(), "repo=site&branch=main");
        assert_eq!(download(&restored, &download_path(&issued)).0, 200, "new tickets can be redeemed");
        assert_log_verifies(&restored);
        let events = restored.events();
        let revoked = events.iter().filter(|event| event["type"] == "ticket.revoked" && event["reason"] == "restored");
        assert_eq!(revoked.count(), count);
        let counts: Vec<_> =
            events.iter().filter(|event| event["type"] == "database.restored").map(|event| &event["count"]).collect();
        assert_eq!(counts, [&json!(count), &json!(0)]);
    }
}

#[test]
fn a_restore_needs_a_time_in_the_past_and_a_database() {
    let url = new_database(postgres());
    let replicas = start(&url);
    let config = replicas.get(0).folder.path().join("claviger.yaml");
    let waiting = ticket(&replicas);
    for (after, why) in
        [("2999-01-01T00:00:00Z", "--after: the time of the backup is later"), ("noon", "--after: must be a time")]
    {
        let (code, stderr) = restore(&config, &url, after);
        assert!(code == Some(2) && stderr.contains(why), "{code:?} {stderr}");
    }
    let (code, stderr) = restore(&config, "postgres://claviger@127.0.0.1:1/none", "1h");
    assert!(code == Some(1) && stderr.contains("the database cannot be opened"), "{stderr}");
    assert_eq!(download(&replicas, &waiting).0, 200, "nothing was revoked");
}
