//! Flip, delete, swap, duplicate, truncate, rehash: each is found at the first changed number.

use super::rows::{Dice, HASH, Log, PREV_HASH, Row, TEXT, check, check_lines, export, flip, reseal};
use crate::audit::checker::{Broken, Reason};
use crate::audit::keys::ChainHasher;
use crate::audit::known::Known;
use crate::sealing::keys::RootKey;

const ROUNDS: usize = 600;

fn keyed() -> ChainHasher {
    ChainHasher::new(Some(&RootKey::new([7; 32].into())), &[])
}

/// With and without a key.
fn sealers() -> [ChainHasher; 2] {
    [keyed(), ChainHasher::plain()]
}

fn place(broken: Option<Broken>) -> Option<(String, i64)> {
    broken.map(|broken| (broken.chain, broken.seq))
}

fn of(row: &Row) -> (String, i64) {
    (row.chain.clone(), row.seq)
}

/// Changes a fresh copy of the rows in each round, and compares the place that is found.
fn each_round(
    name: &str,
    log: &Log,
    hasher: &ChainHasher,
    known: impl Fn(&Log) -> Known,
    mut change: impl FnMut(&mut Vec<Row>, &mut Dice) -> (String, i64),
) {
    let mut dice = Dice::new(0x9e37_79b9_7f4a_7c15);
    for round in 0..ROUNDS {
        let mut rows = log.rows.clone();
        let expected = change(&mut rows, &mut dice);
        if rows != log.rows {
            assert_eq!(place(check(&rows, hasher, known(log))), Some(expected), "{name}, round {round}");
        }
    }
}

#[test]
fn a_log_that_nobody_touched_holds() {
    for hasher in sealers() {
        let log = Log::write(&hasher);
        assert_eq!(check(&log.rows, &hasher, log.known_with_heads()), None);
        assert_eq!(check_lines(&export(&log.rows), &hasher, Known::default()), None);
        assert_eq!(check_lines(&[], &hasher, Known::default()), None);
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    for hasher in sealers() {
        let log = Log::write(&hasher);
        each_round("flip", &log, &hasher, Log::known, |rows, dice| {
            let at = dice.below(rows.len());
            let field = dice.below(rows[at].texts.len());
            let expected = of(&rows[at]);
            if !rows[at].texts[field].is_empty() {
                flip(&mut rows[at].texts[field], dice);
            }
            expected
        });
        each_round("flip in the number or the chain", &log, &hasher, Log::known, |rows, dice| {
            let at = dice.below(rows.len());
            let expected = of(&rows[at]);
            match dice.below(2) {
                0 => rows[at].seq ^= 1 << dice.below(16),
                _ => flip(&mut rows[at].chain, dice),
            }
            expected
        });
    }
}

#[test]
fn what_is_deleted_is_missed() {
    for hasher in sealers() {
        let log = Log::write(&hasher);
        each_round("delete", &log, &hasher, Log::known_with_heads, |rows, dice| {
            of(&rows.remove(dice.below(rows.len())))
        });
        each_round("truncate the middle of a chain", &log, &hasher, Log::known_with_heads, |rows, dice| {
            let chain = rows[dice.below(rows.len())].chain.clone();
            let length = rows.iter().filter(|row| row.chain == chain).count();
            let from = 1 + dice.below(length);
            let to = from + dice.below(length);
            let is_cut =
                |row: &Row| row.chain == chain && (from..=to).contains(&usize::try_from(row.seq).expect("few"));
            let first = rows.iter().find(|row| is_cut(row)).map(of);
            rows.retain(|row| !is_cut(row));
            first.expect("cut")
        });
    }
}

#[test]
fn a_tail_that_is_cut_off_is_seen_against_checkpoints_alone() {
    for hasher in sealers() {
        let log = Log::write(&hasher);
        for cut in 1..20 {
            let kept = &log.rows[..log.rows.len() - cut];
            let missing = &log.rows[log.rows.len() - cut..];
            assert_eq!(check(kept, &hasher, log.known()), None, "nothing inside tells");
            let found = place(check(kept, &hasher, log.known_with_heads())).expect("found");
            let first = missing.iter().find(|row| row.chain == found.0).map(of);
            assert_eq!(Some(found), first);
        }
    }
}

#[test]
fn what_changes_places_is_found() {
    for hasher in sealers() {
        let log = Log::write(&hasher);
        let two = |rows: &[Row], dice: &mut Dice| loop {
            let (a, b) = (dice.below(rows.len()), dice.below(rows.len()));
            if a < b && rows[a].chain == rows[b].chain {
                return (a, b);
            }
        };
        each_round("swap", &log, &hasher, Log::known, |rows, dice| {
            let (a, b) = two(rows, dice);
            rows.swap(a, b);
            of(&rows[b])
        });
        each_round("swap what is in them", &log, &hasher, Log::known, |rows, dice| {
            let (a, b) = two(rows, dice);
            for field in [HASH, TEXT] {
                let moved = rows[a].texts[field].clone();
                rows[a].texts[field] = std::mem::replace(&mut rows[b].texts[field], moved);
            }
            of(&rows[a])
        });
        each_round("duplicate", &log, &hasher, Log::known, |rows, dice| {
            let row = rows[dice.below(rows.len())].clone();
            let expected = of(&row);
            rows.insert(dice.below(rows.len() + 1), row);
            expected
        });
    }
}

#[test]
fn with_a_key_nobody_else_seals_anew() {
    let hasher = keyed();
    let log = Log::write(&hasher);
    each_round("re-seal one", &log, &hasher, Log::known, |rows, dice| {
        let at = dice.below(rows.len());
        reseal(&mut rows[at]);
        of(&rows[at])
    });
    each_round("re-seal the tail", &log, &hasher, Log::known, |rows, dice| {
        let at = dice.below(rows.len());
        reseal_tail(rows, at);
        of(&rows[at])
    });
}

#[test]
fn without_a_key_one_event_sealed_anew_is_told_by_the_next() {
    let hasher = ChainHasher::plain();
    let log = Log::write(&hasher);
    each_round("re-seal one", &log, &hasher, Log::known_with_heads, |rows, dice| {
        let at = dice.below(rows.len());
        reseal(&mut rows[at]);
        let row = &rows[at];
        let is_known = log.named.iter().any(|(chain, seq, _)| *chain == row.chain && *seq == row.seq)
            || log.heads.iter().any(|head| head.chain == row.chain && head.seq == row.seq);
        (row.chain.clone(), row.seq + i64::from(!is_known))
    });
}

#[test]
fn without_a_key_a_tail_sealed_anew_is_seen_against_checkpoints_alone() {
    let hasher = ChainHasher::plain();
    let log = Log::write(&hasher);
    for at in 0..log.rows.len() {
        let mut rows = log.rows.clone();
        let chain = rows[at].chain.clone();
        reseal_tail(&mut rows, at);
        assert_eq!(check(&rows, &hasher, Known::default()), None, "{at}");
        let broken = check(&rows, &hasher, log.known_with_heads()).expect("found");
        let first_known = log.named.iter().filter(|(name, seq, _)| *name == chain && *seq >= log.rows[at].seq);
        let first_known = first_known.map(|(_, seq, _)| *seq).min();
        let head = log.heads.iter().find(|head| head.chain == chain).map(|head| head.seq);
        assert_eq!((broken.chain, Some(broken.seq)), (chain, first_known.or(head)), "{at}");
        assert_eq!(broken.reason, Reason::NotAsKnown);
    }
}

/// Edits a row and recomputes its chain from there, and references of other chains.
fn reseal_tail(rows: &mut [Row], at: usize) {
    let hasher = ChainHasher::plain();
    let mut moved = vec![(rows[at].texts[HASH].clone(), String::new())];
    let mut first = true;
    for row in &mut rows[at..] {
        let named = moved.iter().find(|(old, _)| *old == row.texts[PREV_HASH]).cloned();
        if std::mem::take(&mut first) {
            let old = row.texts[HASH].clone();
            reseal(row);
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
fn an_export_tells_as_much_as_the_log() {
    for hasher in sealers() {
        let log = Log::write(&hasher);
        let lines = export(&log.rows);
        let mut dice = Dice::new(7);
        for round in 0..ROUNDS {
            let at = dice.below(lines.len());
            let row = &log.rows[lines.len() - 1 - at];
            let mut changed = lines.clone();
            match dice.below(3) {
                0 => drop(changed.remove(at)),
                1 => changed.insert(dice.below(lines.len() + 1), lines[at].clone()),
                _ => flip(&mut changed[at], &mut dice),
            }
            let found = check_lines(&changed, &hasher, log.known_with_heads()).expect("found");
            assert_eq!(found.seq, row.seq, "round {round}: {found:?}\n{}", changed.get(at).map_or("", String::as_str));
        }
    }
}

#[test]
fn the_last_numbers_there_are_break_a_chain_and_not_the_checker() {
    for hasher in sealers() {
        let log = Log::write(&hasher);
        for at in [0, log.rows.len() / 2, log.rows.len() - 1] {
            for seq in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
                let mut rows = log.rows.clone();
                let (chain, before) = of(&rows[at]);
                let text = &mut rows[at].texts[TEXT];
                *text = text.replacen(&format!("\"seq\":{before},"), &format!("\"seq\":{seq},"), 1);
                *text = text.replacen(&format!("\"{chain}.{before}\""), &format!("\"{chain}.{seq}\""), 1);
                rows[at].seq = seq;
                for rewritten in [hasher.hash(&rows[at].texts[TEXT]), log.rows[at].texts[HASH].clone()] {
                    rows[at].texts[HASH] = rewritten;
                    assert_ne!(check(&rows, &hasher, log.known_with_heads()), None, "{seq} at {at}");
                    let mut lines = export(&rows);
                    for unreadable in [false, true] {
                        if unreadable {
                            lines.insert(0, "no event".into());
                            lines.push("no event".into());
                        }
                        assert_ne!(check_lines(&lines, &hasher, log.known_with_heads()), None, "{seq} at {at}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_chain_of_the_last_number_alone_is_no_whole_chain() {
    let hasher = ChainHasher::plain();
    for (seq, holds) in [(i64::MAX, false), (2, false), (1, true)] {
        let text = format!(
            "{{\"id\":\"a.{seq}\",\"time\":\"\",\"chain\":\"a\",\"seq\":{seq},\"prevHash\":\"{}\",\"type\":\"\",\"outcome\":\"\"}}",
            "0".repeat(64)
        );
        let line = crate::wire::audit_event::append_hash(&text, &hasher.hash(&text));
        assert_eq!(check_lines(&[line], &hasher, Known::default()).is_none(), holds, "{seq}");
    }
}
