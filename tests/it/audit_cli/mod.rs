//! `claviger audit`: tail, export and verify, with and without a server.

use crate::fetch::fake::{Fake, answer};
use crate::rig::claviger::{Claviger, Dev, binary, run, wait_until};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

type CommandOutput = (Option<i32>, String, String);

fn audit(arguments: &[&str]) -> CommandOutput {
    run(&[&["audit"], arguments].concat())
}

/// Runs a command on the server, with a token that `dev` wrote.
fn run_at(claviger: &Claviger, token: &str, arguments: &[&str]) -> CommandOutput {
    let url = format!("http://{}", claviger.api);
    let token = claviger.folder.path().join(token).display().to_string();
    audit(&[arguments, &["--server", &url, "--token-file", &token]].concat())
}

fn some_events(claviger: &Claviger, tickets: usize) {
    for _ in 0..tickets {
        let path = claviger.ticket("moreira.dev", "main");
        assert_eq!(claviger.download(&path).status, 200);
    }
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

fn verdict(ran: &CommandOutput) -> (Option<i32>, Value) {
    let verified: Value = serde_json::from_str(&ran.1).unwrap_or_else(|_| panic!("{ran:?}"));
    (ran.0, verified["firstBroken"]["seq"].clone())
}

#[test]
fn an_export_has_all_events_and_is_verified_without_a_server() {
    let claviger = Claviger::sample();
    some_events(&claviger, 6);
    let (code, exported, stderr) = run_at(&claviger, "admin-token", &["export"]);
    assert_eq!((code, stderr.as_str(), exported.lines().count()), (Some(0), "", 12));
    let folder = claviger.folder.path();
    let file = write(folder, "export", &exported);
    let (code, stdout, stderr) = audit(&["verify", "--file", &file]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert_eq!(
        serde_json::from_str::<Value>(&stdout).unwrap(),
        json!({"ok": true, "events": 12, "chains": 1, "firstBroken": null})
    );
    let lines: Vec<&str> = exported.lines().collect();
    for (name, text, seq) in [
        ("without the fifth", [&lines[..7], &lines[8..]].concat().join("\n"), 5),
        ("edited", exported.replacen("\"outcome\":\"ok\"", "\"outcome\":\"no\"", 1), 12),
        ("without the first", lines[..11].join("\n"), 1),
        ("no event", exported.replacen("\"id\":", "\"id\"", 1), 12),
    ] {
        let ran = audit(&["verify", "--file", &write(folder, "changed", &text)]);
        assert_eq!(verdict(&ran), (Some(1), json!(seq)), "{name}");
        assert!(
            ran.2.starts_with(&format!("claviger: audit log verification failed: event {seq} of chain ")),
            "{ran:?}"
        );
    }
    let pruned = write(folder, "changed", &lines[..9].join("\n"));
    assert_eq!(verdict(&audit(&["verify", "--file", &pruned])), (Some(1), json!(1)));
    assert_eq!(verdict(&audit(&["verify", "--file", &pruned, "--pruned"])), (Some(0), Value::Null));
    let some = run_at(&claviger, "admin-token", &["export", "--type", "ticket.redeemed", "--since", "1h"]).1;
    assert_eq!(some.lines().count(), 6);
}

#[test]
fn checkpoints_reveal_a_deleted_tail() {
    let mut claviger = Claviger::sample();
    some_events(&claviger, 4);
    let exported = run_at(&claviger, "admin-token", &["export"]).1;
    claviger.signal("TERM");
    claviger.wait(Duration::from_secs(20));
    let stdout = claviger.stdout();
    let checkpoint = stdout.lines().find(|line| line.contains("audit.checkpoint")).expect("a checkpoint at the end");
    let checkpoint: Value = serde_json::from_str(checkpoint).unwrap();
    let newest: Value = serde_json::from_str(exported.lines().next().unwrap()).unwrap();
    assert_eq!((&checkpoint["seq"], &checkpoint["hash"]), (&json!(8), &newest["hash"]));
    assert_eq!(claviger.audit_events().len(), 8, "a checkpoint is not an event of the log");

    let folder = claviger.folder.path();
    let told = write(folder, "told", &format!("noise\n2026-01-01 claviger-0 {checkpoint}\n"));
    let whole = write(folder, "whole", &exported);
    assert_eq!(verdict(&audit(&["verify", "--file", &whole, "--checkpoints", &told])), (Some(0), Value::Null));
    let cut = write(folder, "cut", &exported.lines().skip(3).collect::<Vec<_>>().join("\n"));
    assert_eq!(
        verdict(&audit(&["verify", "--file", &cut])),
        (Some(0), Value::Null),
        "the file alone does not show the deletion"
    );
    assert_eq!(verdict(&audit(&["verify", "--file", &cut, "--checkpoints", &told])), (Some(1), json!(6)));
    // Every printed line can serve as a checkpoint.
    let all = write(folder, "all", &stdout);
    assert_eq!(verdict(&audit(&["verify", "--file", &cut, "--checkpoints", &all])), (Some(1), json!(6)));
    let empty = write(folder, "empty", "noise\n");
    assert_eq!(audit(&["verify", "--file", &cut, "--checkpoints", &empty]).0, Some(2));
}

#[test]
fn the_log_of_a_server_is_compared_with_its_checkpoints() {
    let claviger = Claviger::sample();
    some_events(&claviger, 4);
    assert_eq!(verdict(&run_at(&claviger, "admin-token", &["verify"])), (Some(0), Value::Null));
    let folder = claviger.folder.path();
    wait_until("every event to be printed", || claviger.stdout().matches("\"ticket.redeemed\"").count() == 4);
    let told = write(folder, "told", &claviger.stdout());
    let with_checkpoints = ["verify", "--checkpoints", told.as_str()];
    assert_eq!(verdict(&run_at(&claviger, "admin-token", &with_checkpoints)), (Some(0), Value::Null));
    let forged = with_other_hash(&claviger.stdout());
    let forged = write(folder, "forged", &forged);
    assert_eq!(verdict(&run_at(&claviger, "admin-token", &["verify", "--checkpoints", &forged])), (Some(1), json!(5)));
    claviger.write("DELETE FROM audit_events WHERE seq = 3");
    assert_eq!(verdict(&run_at(&claviger, "admin-token", &["verify"])), (Some(1), json!(3)));
    let (code, stdout, stderr) = run_at(&claviger, "token", &["verify"]);
    assert_eq!((code, stdout.as_str()), (Some(3), ""));
    assert!(stderr.starts_with("claviger: denied: "), "{stderr}");
    assert_eq!(audit(&["verify"]).0, Some(2));
}

/// The printed lines, one of them with a hash that differs from the log's.
fn with_other_hash(stdout: &str) -> String {
    let told = stdout.lines().filter(|line| line.starts_with('{')).map(|line| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        if event["seq"] == 5 {
            event["hash"] = "0".repeat(64).into();
        }
        event.to_string()
    });
    told.collect::<Vec<_>>().join("\n")
}

#[test]
fn chains_of_a_retired_key_and_without_a_key_are_verified_together() {
    let keys = tempfile::tempdir().unwrap();
    let key = write(keys.path(), "key", &STANDARD.encode([7; 32]));
    let state = tempfile::tempdir().unwrap();
    let start = |environment: &[(&str, &str)]| {
        let database = format!("sqlite://{}", state.path().join("claviger.db").display());
        let environment = [environment, &[("CLAVIGER__DATABASE__URL", database.as_str())]].concat();
        Claviger::dev(&Dev { environment: &environment, ..Dev::default() })
    };
    let keyed = start(&[("CLAVIGER__AUDIT__KEYFILE", key.as_str())]);
    some_events(&keyed, 2);
    drop(keyed);
    let plain = start(&[]);
    some_events(&plain, 2);
    let file = write(keys.path(), "export", &run_at(&plain, "admin-token", &["export"]).1);
    assert_eq!(verdict(&audit(&["verify", "--file", &file, "--retired-key-file", &key])), (Some(0), Value::Null));
    // As the current key it requires that every newer chain has a key.
    assert_eq!(audit(&["verify", "--file", &file, "--key-file", &key]).0, Some(1));
}

#[test]
fn a_keyed_chain_is_verified_only_with_its_key() {
    let keys = tempfile::tempdir().unwrap();
    let key = write(keys.path(), "key", &STANDARD.encode([7; 32]));
    let other = write(keys.path(), "other", &STANDARD.encode([8; 32]));
    let environment = [("CLAVIGER__AUDIT__KEYFILE", key.as_str())];
    let claviger = Claviger::dev(&Dev { environment: &environment, ..Dev::default() });
    some_events(&claviger, 2);
    let file = write(keys.path(), "export", &run_at(&claviger, "admin-token", &["export"]).1);
    assert_eq!(verdict(&audit(&["verify", "--file", &file, "--key-file", &key])), (Some(0), Value::Null));
    for arguments in [&["verify", "--file", &file][..], &["verify", "--file", &file, "--key-file", &other]] {
        assert_eq!(audit(arguments).0, Some(1), "{arguments:?}");
    }
    assert_eq!(audit(&["verify", "--file", &file, "--key-file", "/nowhere"]).0, Some(2));
    // Retired keys alone: chains of such a key verify, and an unrelated key verifies nothing.
    let retired = |key: &str| audit(&["verify", "--file", &file, "--retired-key-file", key]);
    assert_eq!(verdict(&retired(&key)), (Some(0), Value::Null));
    assert_eq!((retired(&other).0, retired("/nowhere").0), (Some(1), Some(2)));
    assert_eq!(verdict(&run_at(&claviger, "admin-token", &["verify"])), (Some(0), Value::Null));
}

#[test]
fn tail_prints_the_last_events_and_follows_new_ones() {
    let claviger = Claviger::sample();
    some_events(&claviger, 5);
    let (code, stdout, _) = run_at(&claviger, "admin-token", &["tail", "-n", "3"]);
    assert_eq!((code, stdout.lines().count()), (Some(0), 3));
    let last = stdout.lines().last().unwrap();
    assert!(last.contains(" ticket.redeemed ok by ") && last.contains(" for moreira.dev main "), "{last}");
    let (_, json_lines, _) =
        run_at(&claviger, "admin-token", &["tail", "-n", "1", "-o", "json", "--type", "ticket.issued"]);
    assert_eq!(serde_json::from_str::<Value>(&json_lines).unwrap()["seq"], 9);
    assert_eq!(run_at(&claviger, "token", &["tail"]).0, Some(3));
    assert_eq!(run_at(&claviger, "admin-token", &["tail", "--outcome", "good"]).0, Some(1));
    assert_eq!(run_at(&claviger, "admin-token", &["tail", "--since", "yesterday"]).0, Some(2));

    let followed = claviger.folder.path().join("followed");
    let mut following = Command::new(binary())
        .args(["audit", "tail", "--follow", "-n", "2", "-o", "json", "--server", &format!("http://{}", claviger.api)])
        .arg("--token-file")
        .arg(claviger.folder.path().join("admin-token"))
        .stdout(File::create(&followed).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let seqs = || -> Vec<i64> {
        let text = fs::read_to_string(&followed).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_i64().unwrap()).collect()
    };
    wait_until("the first lines", || seqs().len() >= 2);
    some_events(&claviger, 3);
    wait_until("what came", || seqs().len() >= 8);
    some_events(&claviger, 1);
    wait_until("and more", || seqs().len() >= 10);
    let _ = following.kill();
    let _ = following.wait();
    // The eleventh event is the refusal of an unauthorised reader.
    assert_eq!(seqs(), (10..=19).collect::<Vec<_>>(), "each once, in order");
}

#[test]
fn followed_events_are_not_older_than_since() {
    let claviger = Claviger::sample();
    some_events(&claviger, 1);
    // Younger than the ten seconds by which an event may be late.
    std::thread::sleep(Duration::from_secs(2));
    let followed = claviger.folder.path().join("followed");
    let mut following = Command::new(binary())
        .args(["audit", "tail", "--follow", "--since", "1s", "-o", "json"])
        .args(["--server", &format!("http://{}", claviger.api), "--token-file"])
        .arg(claviger.folder.path().join("admin-token"))
        .stdout(File::create(&followed).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(1));
    some_events(&claviger, 1);
    let printed = || fs::read_to_string(&followed).unwrap();
    wait_until("the new events", || printed().lines().count() >= 2);
    std::thread::sleep(Duration::from_millis(2500));
    let _ = following.kill();
    let _ = following.wait();
    let seqs: Vec<Value> =
        printed().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].clone()).collect();
    assert_eq!(seqs, [3, 4], "without the two events before it");
}

/// The value of a query parameter of a request.
fn parameter(request: &str, name: &str) -> Option<usize> {
    let query = request.lines().next()?.split(['?', '&', ' ']);
    query.filter_map(|pair| pair.split_once('=')).find(|(other, _)| *other == name)?.1.parse().ok()
}

#[test]
fn tail_reads_smaller_pages_if_an_answer_is_too_large() {
    let claviger = Claviger::sample();
    some_events(&claviger, 4);
    let url = format!("http://{}", claviger.api);
    let token = claviger.folder.path().join("admin-token").display().to_string();
    let newest_first: Vec<Value> = {
        let (code, stdout, stderr) = run_at(&claviger, "admin-token", &["tail", "-n", "8", "-o", "json"]);
        assert_eq!(code, Some(0), "{url} {stderr}");
        stdout.lines().rev().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!(newest_first.len(), 8);
    for largest in [1, 3] {
        let events = newest_first.clone();
        let fake = Fake::start(move |_, request, _| {
            let limit = parameter(request, "limit").unwrap();
            if limit > largest {
                return Some(answer(200, &[("Content-Length", "17000000")], ""));
            }
            let start = parameter(request, "continue").unwrap_or(0);
            let end = events.len().min(start + limit);
            let mut list = json!({"items": events[start..end]});
            if end < events.len() {
                list["continue"] = end.to_string().into();
            }
            Some(answer(200, &[("Content-Type", "application/json")], &list.to_string()))
        });
        let (code, stdout, stderr) =
            audit(&["tail", "-n", "5", "-o", "json", "--server", &fake.url(), "--token-file", &token]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{largest}");
        let printed: Vec<Value> = stdout.lines().rev().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(printed, newest_first[..5], "{largest}");
    }
    // A single event that is too large is an error.
    let fake = Fake::start(|_, _, _| Some(answer(200, &[("Content-Length", "17000000")], "")));
    let (code, _, stderr) = audit(&["tail", "--follow", "--server", &fake.url(), "--token-file", &token]);
    assert_eq!((code, stderr.as_str()), (Some(1), "claviger: the server's answer is too large\n"));
}
