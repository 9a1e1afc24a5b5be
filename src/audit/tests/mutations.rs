//! The checker reports every tampering of a log (flip, delete, swap, duplicate, truncate, rehash) at the lowest affected
//! number.

use super::rows::{HASH, Log, PREV_HASH, Random, Row, TEXT, check, check_lines, edit_and_rehash, export, flip_bit};
use crate::audit::chain_checker::{BrokenEvent, BrokenReason};
use crate::audit::chain_hasher::ChainHasher;
use crate::audit::known_events::KnownEvents;
use crate::sealing::keys::RootKey;

const ROUNDS: usize = 600;

fn hasher_with_key() -> ChainHasher {
    ChainHasher::new(Some(&RootKey::new([7; 32].into())), &[])
}

/// With and without a key.
fn hashers() -> [ChainHasher; 2] {
    [hasher_with_key(), ChainHasher::new(None, &[])]
}

fn position(broken: Option<BrokenEvent>) -> Option<(String, i64)> {
    broken.map(|broken| (broken.chain, broken.seq))
}

fn position_of(row: &Row) -> (String, i64) {
    (row.chain.clone(), row.seq)
}

/// In each round, applies `change` to a copy of the rows. The checker must report the position that `change` returns.
fn assert_reported(
    name: &str,
    log: &Log,
    hasher: &ChainHasher,
    known: impl Fn(&Log) -> KnownEvents,
    mut change: impl FnMut(&mut Vec<Row>, &mut Random) -> (String, i64),
) {
    let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
    for round in 0..ROUNDS {
        let mut rows = log.rows.clone();
        let expected = change(&mut rows, &mut random);
        if rows != log.rows {
            assert_eq!(position(check(&rows, hasher, known(log))), Some(expected), "{name}, round {round}");
        }
    }
}

#[test]
fn an_untouched_log_is_intact() {
    for hasher in hashers() {
        let log = Log::write(&hasher);
        assert_eq!(check(&log.rows, &hasher, log.known_with_heads()), None);
        assert_eq!(check_lines(&export(&log.rows), &hasher, KnownEvents::default()), None);
        assert_eq!(check_lines(&[], &hasher, KnownEvents::default()), None);
    }
}

#[test]
fn a_flipped_bit_is_reported_at_every_place() {
    for hasher in hashers() {
        let log = Log::write(&hasher);
        assert_reported("flip", &log, &hasher, Log::known, |rows, random| {
            let index = random.below(rows.len());
            let field = random.below(rows[index].texts.len());
            let expected = position_of(&rows[index]);
            if !rows[index].texts[field].is_empty() {
                flip_bit(&mut rows[index].texts[field], random);
            }
            expected
        });
        assert_reported("flip in the number or the chain", &log, &hasher, Log::known, |rows, random| {
            let index = random.below(rows.len());
            let expected = position_of(&rows[index]);
            match random.below(2) {
                0 => rows[index].seq ^= 1 << random.below(16),
                _ => flip_bit(&mut rows[index].chain, random),
            }
            expected
        });
    }
}

#[test]
fn deleted_events_are_reported() {
    for hasher in hashers() {
        let log = Log::write(&hasher);
        assert_reported("delete", &log, &hasher, Log::known_with_heads, |rows, random| {
            position_of(&rows.remove(random.below(rows.len())))
        });
        assert_reported("truncate the middle of a chain", &log, &hasher, Log::known_with_heads, |rows, random| {
            let chain = rows[random.below(rows.len())].chain.clone();
            let length = rows.iter().filter(|row| row.chain == chain).count();
            let from = 1 + random.below(length);
            let to = from + random.below(length);
            let is_cut =
                |row: &Row| row.chain == chain && (from..=to).contains(&usize::try_from(row.seq).expect("few"));
            let first = rows.iter().find(|row| is_cut(row)).map(position_of);
            rows.retain(|row| !is_cut(row));
            first.expect("cut")
        });
    }
}

#[test]
fn a_truncated_log_is_reported_only_with_checkpoints() {
    for hasher in hashers() {
        let log = Log::write(&hasher);
        for cut in 1..20 {
            let kept = &log.rows[..log.rows.len() - cut];
            let missing = &log.rows[log.rows.len() - cut..];
            assert_eq!(check(kept, &hasher, log.known()), None, "without checkpoints it looks intact");
            let found = position(check(kept, &hasher, log.known_with_heads())).expect("found");
            let first = missing.iter().find(|row| row.chain == found.0).map(position_of);
            assert_eq!(Some(found), first);
        }
    }
}

#[test]
fn swapped_and_duplicated_events_are_reported() {
    for hasher in hashers() {
        let log = Log::write(&hasher);
        let two = |rows: &[Row], random: &mut Random| loop {
            let (a, b) = (random.below(rows.len()), random.below(rows.len()));
            if a < b && rows[a].chain == rows[b].chain {
                return (a, b);
            }
        };
        assert_reported("swap", &log, &hasher, Log::known, |rows, random| {
            let (a, b) = two(rows, random);
            rows.swap(a, b);
            position_of(&rows[b])
        });
        assert_reported("swap hashes and texts", &log, &hasher, Log::known, |rows, random| {
            let (a, b) = two(rows, random);
            for field in [HASH, TEXT] {
                let moved = rows[a].texts[field].clone();
                rows[a].texts[field] = std::mem::replace(&mut rows[b].texts[field], moved);
            }
            position_of(&rows[a])
        });
        assert_reported("duplicate", &log, &hasher, Log::known, |rows, random| {
            let row = rows[random.below(rows.len())].clone();
            let expected = position_of(&row);
            rows.insert(random.below(rows.len() + 1), row);
            expected
        });
    }
}

#[test]
fn with_a_key_events_rehashed_without_it_are_reported() {
    let hasher = hasher_with_key();
    let log = Log::write(&hasher);
    assert_reported("rehash one", &log, &hasher, Log::known, |rows, random| {
        let index = random.below(rows.len());
        edit_and_rehash(&mut rows[index]);
        position_of(&rows[index])
    });
    assert_reported("rehash the tail", &log, &hasher, Log::known, |rows, random| {
        let index = random.below(rows.len());
        rehash_tail(rows, index);
        position_of(&rows[index])
    });
}

#[test]
fn without_a_key_a_rehashed_event_is_reported_at_the_next() {
    let hasher = ChainHasher::new(None, &[]);
    let log = Log::write(&hasher);
    assert_reported("rehash one", &log, &hasher, Log::known_with_heads, |rows, random| {
        let index = random.below(rows.len());
        edit_and_rehash(&mut rows[index]);
        let row = &rows[index];
        let is_expected = log.predecessors.iter().any(|(chain, seq, _)| *chain == row.chain && *seq == row.seq)
            || log.heads.iter().any(|head| *head.chain == *row.chain && head.seq == row.seq);
        (row.chain.clone(), row.seq + i64::from(!is_expected))
    });
}

#[test]
fn without_a_key_a_rehashed_tail_is_reported_only_with_checkpoints() {
    let hasher = ChainHasher::new(None, &[]);
    let log = Log::write(&hasher);
    for index in 0..log.rows.len() {
        let mut rows = log.rows.clone();
        let chain = rows[index].chain.clone();
        rehash_tail(&mut rows, index);
        assert_eq!(check(&rows, &hasher, KnownEvents::default()), None, "{index}");
        let broken = check(&rows, &hasher, log.known_with_heads()).expect("found");
        let first_known =
            log.predecessors.iter().filter(|(name, seq, _)| *name == chain && *seq >= log.rows[index].seq);
        let first_known = first_known.map(|(_, seq, _)| *seq).min();
        let head = log.heads.iter().find(|head| *head.chain == *chain).map(|head| head.seq);
        assert_eq!((broken.chain, Some(broken.seq)), (chain, first_known.or(head)), "{index}");
        assert_eq!(broken.reason, BrokenReason::NotAsCheckpoint);
    }
}

/// Edits a row, and recomputes the hashes of the later events of its chain and of chains that contain a recomputed hash.
fn rehash_tail(rows: &mut [Row], index: usize) {
    let hasher = ChainHasher::new(None, &[]);
    let mut moved = vec![(rows[index].texts[HASH].clone(), String::new())];
    let mut first = true;
    for row in &mut rows[index..] {
        let named = moved.iter().find(|(old, _)| *old == row.texts[PREV_HASH]).cloned();
        if std::mem::take(&mut first) {
            let old = row.texts[HASH].clone();
            edit_and_rehash(row);
            moved = vec![(old, row.texts[HASH].clone())];
        } else if let Some((old, new)) = named {
            row.texts[TEXT] = row.texts[TEXT].replacen(&old, &new, 1);
            row.texts[PREV_HASH] = new;
            let sealed = hasher.hash(&row.texts[TEXT]);
            let before = std::mem::replace(&mut row.texts[HASH], sealed);
            moved.push((before, row.texts[HASH].clone()));
        }
    }
}

#[test]
fn tampering_of_an_export_is_reported() {
    for hasher in hashers() {
        let log = Log::write(&hasher);
        let lines = export(&log.rows);
        let mut random = Random::new(7);
        for round in 0..ROUNDS {
            let index = random.below(lines.len());
            let row = &log.rows[lines.len() - 1 - index];
            let mut changed = lines.clone();
            match random.below(3) {
                0 => drop(changed.remove(index)),
                1 => changed.insert(random.below(lines.len() + 1), lines[index].clone()),
                _ => flip_bit(&mut changed[index], &mut random),
            }
            let found = check_lines(&changed, &hasher, log.known_with_heads()).expect("found");
            assert_eq!(
                found.seq,
                row.seq,
                "round {round}: {found:?}\n{}",
                changed.get(index).map_or("", String::as_str)
            );
        }
    }
}

#[test]
fn extreme_numbers_are_reported_without_overflow() {
    for hasher in hashers() {
        let log = Log::write(&hasher);
        for index in [0, log.rows.len() / 2, log.rows.len() - 1] {
            for seq in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
                let mut rows = log.rows.clone();
                let (chain, before) = position_of(&rows[index]);
                let text = &mut rows[index].texts[TEXT];
                *text = text.replacen(&format!("\"seq\":{before},"), &format!("\"seq\":{seq},"), 1);
                *text = text.replacen(&format!("\"{chain}.{before}\""), &format!("\"{chain}.{seq}\""), 1);
                rows[index].seq = seq;
                for rewritten in [hasher.hash(&rows[index].texts[TEXT]), log.rows[index].texts[HASH].clone()] {
                    rows[index].texts[HASH] = rewritten;
                    assert_ne!(check(&rows, &hasher, log.known_with_heads()), None, "{seq} at {index}");
                    let mut lines = export(&rows);
                    for unreadable in [false, true] {
                        if unreadable {
                            lines.insert(0, "no event".into());
                            lines.push("no event".into());
                        }
                        assert_ne!(check_lines(&lines, &hasher, log.known_with_heads()), None, "{seq} at {index}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_chain_without_its_first_event_is_reported() {
    let hasher = ChainHasher::new(None, &[]);
    for (seq, holds) in [(i64::MAX, false), (2, false), (1, true)] {
        let text = format!(
            "{{\"id\":\"a.{seq}\",\"time\":\"\",\"chain\":\"a\",\"seq\":{seq},\"prevHash\":\"{}\",\"type\":\"\",\"outcome\":\"\"}}",
            "0".repeat(64)
        );
        let line = crate::wire::audit_event::append_hash(&text, &hasher.hash(&text));
        assert_eq!(check_lines(&[line], &hasher, KnownEvents::default()).is_none(), holds, "{seq}");
    }
}
