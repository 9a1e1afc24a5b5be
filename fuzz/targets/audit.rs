//! Exports of the audit log: for every modification, the checker of `claviger audit verify` does not panic, and
//! never accepts a modified log.
#![no_main]

use claviger::audit::{ChainChecker, ChainHasher, ChainStart, KnownEvents, StoredEvent, VerificationResult};
use claviger::sealing::keys::RootKey;
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use std::collections::BTreeMap;

const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const EXTREMES: [i64; 8] = [i64::MIN, i64::MIN + 1, -1, 0, 1, 2, i64::MAX - 1, i64::MAX];
/// Maximum number of modifications of one log.
const CHANGES: usize = 24;

// The first byte selects the meaning of the others: modifications of a sealed log, with or without a key, or a raw
// export, whose hashes are recomputed or trusted.
fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    match kind % 4 {
        0 => change(rest, &ChainHasher::new(Some(&RootKey::new([7; 32].into())), &[])),
        1 => change(rest, &ChainHasher::new(None, &[])),
        2 => {
            let verified = check(
                &lines(rest),
                Some(&ChainHasher::new(Some(&RootKey::new([7; 32].into())), &[])),
                KnownEvents::default(),
            );
            assert!(rest.is_empty() || rest == b"\n" || verified.first_broken.is_some(), "nobody here could seal that");
        }
        _ => {
            let lines = lines(rest);
            let mut known = KnownEvents::default();
            lines.iter().for_each(|line| _ = known.add_line(line));
            for known in [known, KnownEvents::default()] {
                assert_eq!(check(&lines, None, known).events, events(&lines));
            }
        }
    }
});

/// Modifies a log by five bytes each: the operation, the line, the position in it, and the byte.
fn change(program: &[u8], sealer: &ChainHasher) {
    let log = log(sealer);
    let mut known = KnownEvents::default();
    known.expect_event("b", 3, hash_of(&log[0]), None);
    known.expect_event("a", 3, hash_of(&log[3]), None);
    let mut changed: Vec<Vec<u8>> = log.iter().map(|line| line.clone().into_bytes()).collect();
    let mut sealed_anew = false;
    for step in program.chunks_exact(5).take(CHANGES) {
        if changed.is_empty() {
            break;
        }
        let at = usize::from(step[1]) % changed.len();
        let other = usize::from(step[3]) % changed.len();
        let inside = usize::from(u16::from_be_bytes([step[2], step[3]])) % (changed[at].len() + 1);
        match step[0] % 10 {
            0 => changed[at].iter_mut().skip(inside).take(1).for_each(|byte| *byte = step[4]),
            1 => changed[at].insert(inside, step[4]),
            2 => {
                let end = changed[at].len().min(inside + 1);
                changed[at].drain(inside..end);
            }
            3 => drop(changed.remove(at)),
            4 => changed.swap(at, other),
            5 => {
                let line = changed[at].clone();
                changed.insert(other, line);
            }
            6 => changed[at].truncate(inside),
            7 => changed[at] = renumbered(&changed[at], EXTREMES[usize::from(step[4] % 8)]),
            8 => {
                seal_anew(&mut changed, sealer_of_a_stranger(step[4]));
                sealed_anew = true;
            }
            _ => changed[at].extend([step[4]]),
        }
    }
    let mut bytes = changed.join(&b'\n');
    bytes.push(b'\n');
    let shown = if changed.is_empty() { Vec::new() } else { lines(&bytes) };
    let verified = check(&shown, Some(sealer), known);
    assert_eq!(verified.events, events(&shown));
    if shown == log {
        assert_eq!(verified.first_broken, None, "nobody has touched it");
    }
    if verified.first_broken.is_none() {
        for chain in [&log[..3], &log[3..]] {
            let of_it: Vec<&String> = shown.iter().filter(|line| chain.contains(line)).collect();
            assert_eq!(of_it, chain.iter().collect::<Vec<_>>(), "a changed chain holds");
        }
        // Without a key anyone can start a chain.
        assert!(shown.len() == log.len() || (sealed_anew && sealer.hash("") == ChainHasher::new(None, &[]).hash("")));
    }
}

/// Two chains, newest event first; the second names the head of the first.
fn log(sealer: &ChainHasher) -> Vec<String> {
    let mut log = Vec::new();
    let mut before = NOTHING.to_owned();
    for (chain, seq) in [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), ("b", 3)] {
        let text = json!({"id": format!("{chain}.{seq}"), "time": format!("2026-11-20T14:05:0{seq}.000000Z"),
            "chain": chain, "seq": seq, "prevHash": before, "type": "ticket.issued", "outcome": "ok",
            "caller": {"subject": "me"}, "repo": "acme/site", "branch": "main"})
        .to_string();
        before = sealer.hash(&text);
        log.insert(0, line(&text, &before));
    }
    log
}

fn line(text: &str, hash: &str) -> String {
    format!("{},\"hash\":\"{hash}\"}}", text.strip_suffix('}').unwrap_or(text))
}

fn hash_of(line: &str) -> &str {
    StoredEvent::split_export_line(line).expect("a line of an export").1
}

/// An attacker has no key, but may try a wrong one.
fn sealer_of_a_stranger(choice: u8) -> ChainHasher {
    ChainHasher::new((choice % 4 == 3).then(|| RootKey::new([8; 32].into())).as_ref(), &[])
}

/// Recomputes all hashes, oldest first, and updates references to them.
fn seal_anew(lines: &mut [Vec<u8>], sealer: ChainHasher) {
    for at in (0..lines.len()).rev() {
        let Some((text, old)) = std::str::from_utf8(&lines[at]).ok().and_then(StoredEvent::split_export_line) else {
            continue;
        };
        let (old, new) = (old.to_owned(), sealer.hash(&text));
        lines[at] = line(&text, &new).into_bytes();
        for newer in lines[..at].iter_mut().filter(|_| old.len() == new.len()) {
            *newer = String::from_utf8_lossy(newer).replace(&old, &new).into_bytes();
        }
    }
}

/// The same line with another sequence number.
fn renumbered(line: &[u8], seq: i64) -> Vec<u8> {
    let line = String::from_utf8_lossy(line);
    let Some((before, after)) = line.split_once("\"seq\":") else { return line.into_owned().into_bytes() };
    let after = after.trim_start_matches(|c: char| c == '-' || c.is_ascii_digit());
    let line = format!("{before}\"seq\":{seq}{after}");
    // The event's ID is changed too, so that only the hash can reveal the change.
    match (line.find("\"id\":\""), line.find("\"chain\":\"")) {
        (Some(id), Some(chain)) => {
            let name = line[chain + 9..].split('"').next().unwrap_or_default();
            let rest = line[id + 6..].split_once('"').map_or("", |(_, rest)| rest);
            format!("{}\"id\":\"{name}.{seq}\"{rest}", &line[..id]).into_bytes()
        }
        _ => line.into_bytes(),
    }
}

/// The number of lines in the form of an event.
fn events(lines: &[String]) -> u64 {
    lines.iter().filter(|line| StoredEvent::split_export_line(line).is_some()).count() as u64
}

/// Splits the input as the command line does.
fn lines(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

fn check(lines: &[String], sealer: Option<&ChainHasher>, known: KnownEvents) -> VerificationResult {
    let pruned: BTreeMap<_, _> = known.clone().into_last_pruned();
    let mut checker = ChainChecker::new(sealer, known);
    for line in lines {
        match StoredEvent::split_export_line(line) {
            Some((text, hash)) => checker.check(&StoredEvent { text: &text, hash, columns: None }),
            None => checker.add_unreadable(),
        }
    }
    checker.finish(ChainStart::FirstOrPruned, &pruned)
}
