//! A log as rows in memory, and functions that check and change them.

use crate::audit::Event;
use crate::audit::chain::{Head, NO_PREDECESSOR};
use crate::audit::chain_checker::{BrokenEvent, ChainChecker, ChainStart};
use crate::audit::chain_hasher::ChainHasher;
use crate::audit::known_events::KnownEvents;
use crate::audit::stored_event::{EventColumns, StoredEvent};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::caller::Caller;
use crate::model::clock::format_time;
use crate::model::repo::Repo;
use crate::wire::audit_event::append_hash;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Pseudo-random numbers (xorshift), the same in every run.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to `bound - 1`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("small")
    }
}

/// A row of the table `audit_events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub chain: String,
    pub seq: i64,
    /// The other columns, in their order.
    pub texts: [String; 10],
}

pub const PREV_HASH: usize = 0;
pub const HASH: usize = 1;
pub const TEXT: usize = 9;

/// A log, and what is known about it from outside.
pub struct Log {
    pub rows: Vec<Row>,
    /// The predecessor of each chain in another chain: chain, number and hash.
    pub predecessors: Vec<(String, i64, String)>,
    /// The last event of each chain.
    pub heads: Vec<Head>,
}

fn event(number: usize) -> Event {
    let mut event = Event::new(EventType::ALL[number % EventType::ALL.len()], Outcome::Ok);
    event.caller = Some(std::sync::Arc::new(Caller {
        issuer: "ci".into(),
        subject: format!("build-{}", number % 3),
        groups: Vec::new(),
        workload: None,
        unbound_account: None,
        claims: serde_json::Map::new(),
    }));
    event.repo = Repo::try_from("apps/site").ok();
    event.branch = Branch::try_from("main").ok();
    event
}

impl Log {
    /// The log of two concurrent replicas, one of which is replaced by a third.
    pub fn write(hasher: &ChainHasher) -> Self {
        let mut log = Self { rows: Vec::new(), predecessors: Vec::new(), heads: Vec::new() };
        let mut heads = [log.begin("aaaa"), log.begin("bbbb")];
        for number in 0..30 {
            let replica = usize::from(number % 5 > 2);
            log.add(hasher, &mut heads[replica], number);
        }
        let [a, b] = heads;
        let mut heads = [log.begin("cccc"), b];
        for number in 0..30 {
            let replica = usize::from(number > 20 && number % 2 == 0);
            log.add(hasher, &mut heads[replica], number);
        }
        log.heads.push(a);
        log.heads.extend(heads);
        log
    }

    fn begin(&mut self, chain: &str) -> Head {
        let last = self.rows.last().map(|last| (last.chain.clone(), last.seq, last.texts[HASH].clone()));
        let hash = last.as_ref().map_or(NO_PREDECESSOR, |(.., hash)| hash).into();
        self.predecessors.extend(last);
        Head { chain: chain.into(), seq: 0, hash, time: "".into() }
    }

    fn add(&mut self, hasher: &ChainHasher, head: &mut Head, number: usize) {
        let event = event(number);
        let now = Timestamp::from_second(1_700_000_000 + i64::try_from(self.rows.len()).expect("few")).expect("a time");
        let link = hasher.link(head, &event, &format_time(now).into()).expect("JSON");
        let subject = event.caller.as_ref().map(|caller| caller.subject.clone()).unwrap_or_default();
        let texts = [
            link.prev_hash.to_string(),
            link.hash.to_string(),
            link.time.to_string(),
            event.kind.as_str().into(),
            event.outcome.as_str().into(),
            subject,
            "apps/site".into(),
            "main".into(),
            String::new(),
            link.text.to_string(),
        ];
        self.rows.push(Row { chain: head.chain.to_string(), seq: link.seq, texts });
    }

    /// Known events as from anchors.
    pub fn known(&self) -> KnownEvents {
        let mut known = KnownEvents::default();
        for (chain, seq, hash) in &self.predecessors {
            known.expect_anchored_event(chain, *seq, hash);
        }
        known
    }

    /// Known events as from anchors, and every head as from checkpoints.
    pub fn known_with_heads(&self) -> KnownEvents {
        let mut known = self.known();
        for head in &self.heads {
            known.expect_event(&head.chain, head.seq, &head.hash, Some(head.time.to_string()));
        }
        known
    }
}

/// Checks rows, given in the order of writing.
pub fn check(rows: &[Row], hasher: &ChainHasher, known: KnownEvents) -> Option<BrokenEvent> {
    let mut checker = ChainChecker::new(Some(hasher), known);
    for row in rows.iter().rev() {
        let [prev_hash, hash, time, kind, outcome, subject, repo, branch, ticket_id, text] =
            row.texts.each_ref().map(String::as_str);
        let columns = EventColumns {
            chain: &row.chain,
            seq: row.seq,
            prev_hash,
            time,
            kind,
            outcome,
            subject: Some(subject),
            repo: Some(repo),
            branch: Some(branch),
            ticket_id: Some(ticket_id).filter(|id| !id.is_empty()),
        };
        checker.check(&StoredEvent { text, hash, columns: Some(columns) });
    }
    checker.finish(ChainStart::FirstOrPruned, &BTreeMap::new()).first_broken
}

/// Checks the lines of an export.
pub fn check_lines(lines: &[String], hasher: &ChainHasher, known: KnownEvents) -> Option<BrokenEvent> {
    let mut checker = ChainChecker::new(Some(hasher), known);
    for line in lines {
        match StoredEvent::split_export_line(line) {
            Some((text, hash)) => checker.check(&StoredEvent { text: &text, hash, columns: None }),
            None => checker.add_unreadable(),
        }
    }
    checker.finish(ChainStart::FirstOrPruned, &BTreeMap::new()).first_broken
}

/// Exports rows as lines, newest first.
pub fn export(rows: &[Row]) -> Vec<String> {
    rows.iter().rev().map(|row| append_hash(&row.texts[TEXT], &row.texts[HASH])).collect()
}

/// Flips one bit of an ASCII text, which stays ASCII.
pub fn flip_bit(text: &mut String, random: &mut Random) {
    let mut bytes = text.clone().into_bytes();
    let index = random.below(bytes.len());
    bytes[index] ^= 1 << random.below(7);
    *text = String::from_utf8(bytes).expect("ASCII");
}

/// Edits a row's text and recomputes its hash without a key.
pub fn edit_and_rehash(row: &mut Row) {
    row.texts[TEXT] = row.texts[TEXT].replacen("\"durationMs\":", "\"durationMs\":1", 1);
    row.texts[HASH] = ChainHasher::new(None, &[]).hash(&row.texts[TEXT]);
}
