//! A log as rows, and functions that change it.

use crate::audit::Event;
use crate::audit::chain::{Head, NO_PREDECESSOR, written_time};
use crate::audit::checker::{Beginning, Broken, Checker};
use crate::audit::entry::{Columns, Stored};
use crate::audit::keys::ChainHasher;
use crate::audit::known::Known;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::caller::Caller;
use crate::model::repo::Repo;
use crate::wire::audit_event::append_hash;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Pseudo-random numbers, the same in every run.
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).expect("small")
    }
}

/// A row of the table.
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

/// A log and its external marks.
pub struct Log {
    pub rows: Vec<Row>,
    /// The event named by the first event of each chain.
    pub named: Vec<(String, i64, String)>,
    /// The end of each chain.
    pub heads: Vec<Head>,
}

fn event(number: usize) -> Event {
    let mut event = Event::new(EventType::ALL[number % EventType::ALL.len()], Outcome::Ok);
    event.caller = Some(std::sync::Arc::new(Caller {
        issuer: "ci".into(),
        subject: format!("build-{}", number % 3),
        groups: Vec::new(),
        workload: None,
        unbound: None,
        claims: serde_json::Map::new(),
    }));
    event.repo = Repo::try_from("apps/site").ok();
    event.branch = Branch::try_from("main").ok();
    event
}

impl Log {
    /// Two concurrent replicas, one of which ends, and a third that starts after them.
    pub fn write(hasher: &ChainHasher) -> Self {
        let mut log = Self { rows: Vec::new(), named: Vec::new(), heads: Vec::new() };
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
        let hash = last.as_ref().map_or_else(|| NO_PREDECESSOR.to_owned(), |(.., hash)| hash.clone());
        self.named.extend(last);
        Head { chain: chain.into(), seq: 0, hash, time: "".into() }
    }

    fn add(&mut self, hasher: &ChainHasher, head: &mut Head, number: usize) {
        let event = event(number);
        let now = Timestamp::from_second(1_700_000_000 + i64::try_from(self.rows.len()).expect("few")).expect("a time");
        let link = hasher.link(head, &event, &written_time(now)).expect("JSON");
        let subject = event.caller.as_ref().map(|caller| caller.subject.clone()).unwrap_or_default();
        let texts = [
            link.prev_hash,
            link.hash,
            link.time.to_string(),
            event.kind.as_str().into(),
            event.outcome.as_str().into(),
            subject,
            "apps/site".into(),
            "main".into(),
            String::new(),
            link.text,
        ];
        self.rows.push(Row { chain: head.chain.clone(), seq: link.seq, texts });
    }

    /// The marks from the database's anchors and from this replica's own head.
    pub fn known(&self) -> Known {
        let mut known = Known::default();
        for (chain, seq, hash) in &self.named {
            known.name(chain, *seq, hash);
        }
        known
    }

    /// The same with every head, as from checkpoints.
    pub fn known_with_heads(&self) -> Known {
        let mut known = self.known();
        for head in &self.heads {
            known.mark(&head.chain, head.seq, &head.hash, Some(head.time.to_string()));
        }
        known
    }
}

/// The checker's result for rows in the order of writing.
pub fn check(rows: &[Row], hasher: &ChainHasher, known: Known) -> Option<Broken> {
    let mut checker = Checker::new(Some(hasher), known);
    for row in rows.iter().rev() {
        let [prev_hash, hash, time, kind, outcome, subject, repo, branch, ticket_id, text] =
            row.texts.each_ref().map(String::as_str);
        let columns = Columns {
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
        checker.see(&Stored { text, hash, columns: Some(columns) });
    }
    checker.finish(Beginning::Known, &BTreeMap::new()).first_broken
}

/// The checker's result for the lines of an export.
pub fn check_lines(lines: &[String], hasher: &ChainHasher, known: Known) -> Option<Broken> {
    let mut checker = Checker::new(Some(hasher), known);
    for line in lines {
        match Stored::of_line(line) {
            Some((text, hash)) => checker.see(&Stored { text: &text, hash, columns: None }),
            None => checker.see_unreadable(),
        }
    }
    checker.finish(Beginning::Known, &BTreeMap::new()).first_broken
}

/// The export of rows, newest first.
pub fn export(rows: &[Row]) -> Vec<String> {
    rows.iter().rev().map(|row| append_hash(&row.texts[TEXT], &row.texts[HASH])).collect()
}

/// Flips one bit of a text, so that it stays ASCII.
pub fn flip(text: &mut String, dice: &mut Dice) {
    let mut bytes = text.clone().into_bytes();
    let at = dice.below(bytes.len());
    bytes[at] ^= 1 << dice.below(7);
    *text = String::from_utf8(bytes).expect("ASCII");
}

/// Edits a row's text and recomputes its hash without a key.
pub fn reseal(row: &mut Row) {
    row.texts[TEXT] = row.texts[TEXT].replacen("\"durationMs\":", "\"durationMs\":1", 1);
    row.texts[HASH] = ChainHasher::plain().hash(&row.texts[TEXT]);
}
