//! Two processes on one SQLite file: each writes its own chain, and all chains verify.

use crate::rig::claviger::{Claviger, Dev, audit_texts};
use crate::rig::http::hex;
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread;

/// Tickets that each process issues and redeems.
const TICKETS: usize = 25;

#[test]
fn the_audit_chains_of_both_processes_verify() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("shared.db");
    // Both start at once, so that neither finds a file; the second time the file exists.
    for round in 1..=2 {
        thread::scope(|scope| {
            let working: Vec<_> = (0..2).map(|_| scope.spawn(|| issue_and_redeem(&database))).collect();
            for process in working {
                process.join().unwrap();
            }
        });
        assert_eq!(verify(&audit_texts(&database)), vec![2 * TICKETS; 2 * round]);
    }
    let mut forged = audit_texts(&database);
    forged.remove(TICKETS);
    assert!(std::panic::catch_unwind(|| verify(&forged)).is_err(), "a missing event is not detected");
}

fn issue_and_redeem(database: &Path) {
    let url = format!("sqlite://{}", database.display());
    let environment = [("CLAVIGER__DATABASE__URL", url.as_str())];
    let claviger = Claviger::dev(&Dev { environment: &environment, ..Dev::default() });
    for _ in 0..TICKETS {
        let path = claviger.ticket("moreira.dev", "main");
        assert_eq!(claviger.download(&path).status, 200, "{}", claviger.log());
    }
}

/// Checks every chain from its first event to its last: the numbers have no gap, each event names the one before,
/// and the first one names an event of another chain or none. Returns the lengths of the chains.
fn verify(texts: &[String]) -> Vec<usize> {
    let all: BTreeSet<String> = texts.iter().map(|text| hash(text)).collect();
    let mut chains: BTreeMap<String, Vec<(Value, String)>> = BTreeMap::new();
    for text in texts {
        let event: Value = serde_json::from_str(text).unwrap();
        let chain = event["chain"].as_str().unwrap().to_owned();
        chains.entry(chain).or_default().push((event, hash(text)));
    }
    for chain in chains.values() {
        let first = chain[0].0["prevHash"].as_str().unwrap();
        assert!(all.contains(first) || first.bytes().all(|byte| byte == b'0'), "{first} is not an event");
        for (index, (event, _)) in chain.iter().enumerate() {
            assert_eq!(event["seq"], index + 1);
            if index > 0 {
                assert_eq!(event["prevHash"], chain[index - 1].1);
            }
        }
    }
    chains.values().map(Vec::len).collect()
}

fn hash(text: &str) -> String {
    hex(digest(&SHA256, text.as_bytes()).as_ref())
}
